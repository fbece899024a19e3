"""Provisional projects whose first build never came."""
import contextlib

import psycopg
import pytest

from kiln_testing.records import Judge, partition_of
from kiln_testing.waiting import stays, wait_for
from playing import REQUESTS, Gateway, Service, id_where, new_id, published, skip_old_records

EVENTS = "kiln.project.events"


@pytest.fixture
def impatient(database, tmp_path):
    database.migrate()
    skip_old_records(database)
    one = Service(database, tmp_path, KILN_PROVISIONAL_S="3600", KILN_GIT_BASE_URL="https://git.example.org/").start()
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


def test_a_project_that_is_removed_is_announced_as_deleted_unless_a_gateway_has_done_so(impatient):
    gateway = Gateway(impatient)
    gone, deleted = (gateway.project(concurrency=4, provisional_build=new_id()) for _ in range(2))
    gateway.sql("update projects set version = 2, last_sequence = 3, created_at = now() - interval '2 hours'")
    gateway.sql("update projects set deleted_at = now() where id = %s", deleted["id"])
    wait_for(lambda: gateway.sql("select (select count(*) from projects) + (select count(*) from outbox)") == [(0,)], "both to go, and the event")
    (event,) = [record for record in published(impatient, EVENTS) if record.key in (gone["id"], deleted["id"])]
    judge = Judge({EVENTS: 12}, from_beginning=False)
    judge.see(event)
    assert judge.wrong == [] and (event.type, event.headers["ce_id"]) == ("project.deleted", f"project/{gone['id']}/4")
    told = event.data["project"]
    assert (told["id"], told["name"], told["git_url"]) == (gone["id"], gone["name"], f"https://git.example.org/{gone['name']}.git")
    assert (told["version"], told["concurrency"], event.data["sequence"]) == (3, 4, 4)


def test_gateways_are_told_of_a_project_that_has_become_permanent_though_it_is_shown_as_before(impatient):
    gateway = Gateway(impatient)
    shown = "select version, updated_at from projects where id = %s and provisional_build is {} null"
    build = new_id()
    project = gateway.project(provisional_build=build)
    before = gateway.sql(shown.format("not"), project["id"])
    with psycopg.connect(impatient.url, autocommit=True) as listener:
        listener.execute("listen kiln_caches")
        gateway.post(project, build=build, provisional=True)
        told = next(listener.notifies(timeout=120))
    assert told.payload == f"{project['id']} {project['name']}"
    assert gateway.sql(shown.format(""), project["id"]) == before


@contextlib.contextmanager
def standing_still(gateway, folder, partition, ahead=1000):
    """A service for which this partition of the requests stands still: so much more was applied of it, of another log."""
    place = (REQUESTS, partition)
    where = "where consumer = 'kiln-build-service' and topic = %s and partition = %s"
    ((offset, last),) = gateway.sql(f"select next_offset, last_ce_id from consumer_offsets {where}", *place)
    move = f"update consumer_offsets set next_offset = %s, last_ce_id = %s {where}"
    gateway.sql(move, offset + ahead, "another", *place)
    still = Service(gateway.database, folder).start(wait=False)
    try:
        wait_for(lambda: any("PARTITION STOPPED" in line["msg"] for line in still.lines()), "the partition to be stopped")
        yield
    finally:
        assert still.stop() == 0
    gateway.sql(move, offset, last, *place)


def test_none_is_removed_before_the_requests_that_its_round_waits_for_are_applied(database, tmp_path):
    """One's build is in the log, of a partition that stands still; the other one's never came, and of its own partition all is applied."""
    database.migrate()
    skip_old_records(database)
    gateway = Gateway(database)
    came = new_id()
    partition = partition_of(came.encode(), 12)
    never = id_where(lambda number: number != partition)
    kept, gone = gateway.project(provisional_build=came), gateway.project(provisional_build=never)
    gateway.sql("update projects set created_at = now() - interval '2 hours'")
    gateway.post(kept, build=came, provisional=True)

    def left():
        return {str(project) for (project,) in gateway.sql("select id from projects")}

    with standing_still(gateway, tmp_path, partition):
        stays(lambda: left() == {kept["id"], gone["id"]}, "both projects", 3)
    moving = Service(database, tmp_path).start()
    try:
        wait_for(lambda: gone["id"] not in left(), "the project whose build never came to go")
        gateway.wait(came, "pending")
        assert left() == {kept["id"]}
    finally:
        assert moving.stop() == 0
        gateway.connection.close()


def test_none_is_removed_before_a_later_build_of_it_is_applied(database, tmp_path):
    """Its first build never came; another one is in the log, and makes it permanent as well. That log is as long as what was applied, and another one."""
    database.migrate()
    skip_old_records(database)
    gateway = Gateway(database)
    never = new_id()
    later = id_where(lambda number: number != partition_of(never.encode(), 12))
    project = gateway.project(provisional_build=never)
    gateway.sql("update projects set created_at = now() - interval '2 hours'")
    gateway.post(project, build=later, provisional=True)
    with standing_still(gateway, tmp_path, partition_of(later.encode(), 12), ahead=1):
        stays(lambda: gateway.sql("select count(*) from projects where id = %s", project["id"]) == [(1,)], "the project", 3)
    moving = Service(database, tmp_path).start()
    try:
        gateway.wait(later, "pending")
    finally:
        assert moving.stop() == 0
        gateway.connection.close()


# The last one: from here on the module's instance runs, in the same group, and takes half of the partitions.
def test_a_young_one_is_left_alone(service, gateway):  # pylint: disable=unused-argument
    project = gateway.project(provisional_build=new_id())
    stays(lambda: gateway.sql("select count(*) from projects where id = %s", project["id"]) == [(1,)], "the project", 1)
