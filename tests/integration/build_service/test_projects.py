"""Provisional projects whose first build never came."""
import psycopg
import pytest

from kiln_testing.waiting import stays, wait_for
from playing import Gateway, Service, new_id, skip_old_records


@pytest.fixture
def impatient(database, tmp_path):
    database.migrate()
    skip_old_records(database)
    one = Service(database, tmp_path, KILN_PROVISIONAL_S="3600").start()
    yield database
    assert one.stop() == 0


def test_a_provisional_project_is_removed_when_its_build_never_came(impatient):
    gateway = Gateway(impatient)
    came, never = new_id(), new_id()
    kept, gone = gateway.project(provisional_build=came), gateway.project(provisional_build=never)
    permanent = gateway.project()
    gateway.post(kept, build=came, provisional=True)
    gateway.wait(came, "pending")
    gateway.sql("update projects set created_at = now() - interval '2 hours'")
    wait_for(lambda: gateway.sql("select count(*) from projects where id = %s", gone["id"]) == [(0,)], "the project to go")
    for project in (kept, permanent):
        assert gateway.sql("select count(*) from projects where id = %s", project["id"]) == [(1,)]


def test_gateways_are_told_of_a_project_that_is_removed(impatient):
    gateway = Gateway(impatient)
    with psycopg.connect(impatient.url, autocommit=True) as listener:
        listener.execute("listen kiln_caches")
        project = gateway.project(provisional_build=new_id())
        gateway.sql("update projects set created_at = now() - interval '2 hours' where id = %s", project["id"])
        told = next(listener.notifies(timeout=120))
    assert told.payload == f"{project['id']} {project['name']}"
    assert gateway.sql("select count(*) from projects where id = %s", project["id"]) == [(0,)]


def test_a_young_one_is_left_alone(service, gateway):  # pylint: disable=unused-argument
    project = gateway.project(provisional_build=new_id())
    stays(lambda: gateway.sql("select count(*) from projects where id = %s", project["id"]) == [(1,)], "the project", 1)
