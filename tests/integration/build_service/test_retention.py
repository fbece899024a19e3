"""What is too old goes, whole, and nothing else."""
import contextlib
import json
import secrets
import uuid

import psycopg
import pytest

from databases import PASSWORDS
from kiln_testing import plans
from kiln_testing.waiting import wait_for
from playing import LOGS, Worker, new_id
from test_statements import SQL

SETTINGS = {"KILN_RETENTION_EVERY_S": "1"}
TABLES = {
    "build_audit": "id", "build_requests": "build_id", "build_attempts": "build_id", "build_events": "build_id", "build_logs": "build_id",
    "ended_builds": "build_id", "pruned_builds": "build_id",
}  # fmt: skip


def left(gateway, build):
    """The tables that have something of it."""
    return {table for table, column in TABLES.items() if gateway.sql(f"select 1 from {table} where {column} = %s limit 1", build)}


def make_older(gateway, build, days):
    gateway.sql(
        "with aged as (update build_audit set created_at = created_at - %(age)s::interval, finished_at = finished_at - %(age)s::interval where id = %(id)s)"
        " update ended_builds set created_at = created_at - %(age)s::interval where build_id = %(id)s".replace("%(age)s", f"'{days} days'").replace("%(id)s", f"'{build}'")
    )


def wait_gone(gateway, build, what="it"):
    wait_for(lambda: not gateway.sql("select 1 from build_audit where id = %s", build), f"{what} to go")


def wait_published(gateway, build):
    wait_for(lambda: not gateway.sql("select 1 from outbox where %s = any(build_ids)", build), "its events to be published")


def log(gateway, build, first_line):
    data = {"build_id": build, "attempt": 1, "lease_id": str(uuid.uuid4()), "first_line": first_line, "lines": [{"time": "2026-01-01T00:00:00Z", "stream": "stdout", "text": "x"}]}
    gateway.sender.send(LOGS, build, "build.log", data)
    gateway.sender.flush()
    wait_for(lambda: gateway.sql("select 1 from build_logs where build_id = %s and first_line = %s", build, first_line), "the line")


@pytest.fixture(name="ended")
def ends_builds(gateway, shared_database):
    """Makes builds that have ended, with a log; all of their events are published."""
    executor = Worker(shared_database)

    def make(build=None):
        build = gateway.post(gateway.project(), build=build)
        assign = executor.assigned(build)
        executor.accept(assign)
        log(gateway, build, 1)
        executor.finish(assign)
        gateway.wait(build, "completed")
        wait_published(gateway, build)
        return build

    yield make
    executor.stop()
    executor.bye()


def younger(gateway, ended, days=401):
    """A build that goes after all that were old before: what is still there then, stays."""
    build = ended()
    make_older(gateway, build, days)
    wait_gone(gateway, build, "the last one")


def test_a_worker_that_is_not_there_any_more_goes_when_it_holds_nothing(gateway):
    def known(state, days, held=False):
        one = new_id()
        gateway.sql(
            "insert into workers (id, partition, incarnation, nonce, slots, read_offset, hello_at, heartbeat_at, state)"
            f" values (%s, 0, 1, gen_random_uuid(), 1, 0, now(), now() - interval '{days} days', %s)",
            one,
            state,
        )
        if held:
            gateway.sql(
                "insert into build_attempts (build_id, attempt, lease_id, worker_id, incarnation, nonce, mode, state, held) values (%s, 1, %s, %s, 1, %s, 'run', 'accepted', true)",
                new_id(), new_id(), one, new_id(),
            )  # fmt: skip
        return one

    stay = [known("lost", 31, held=True), known("lost", 29), known("draining", 31)]
    go = [known("lost", 31), known("gone", 31)]
    found = lambda ids: {one for one, in gateway.sql("select id::text from workers where id = any(%s::uuid[])", ids)}  # noqa: E731
    wait_for(lambda: not found(go), "the old ones to go")
    assert found(stay) == set(stay)
    gateway.sql("delete from build_attempts where worker_id = any(%s::uuid[])", stay)
    gateway.sql("delete from workers where id = any(%s::uuid[])", stay)


def test_a_build_goes_with_all_that_there_is_of_it_and_younger_ones_stay(gateway, ended, service, shared_database):
    old, young = ended(), ended()
    removed = service.metric('kiln_retention_removed_total{what="builds"}')
    make_older(gateway, young, 399)
    make_older(gateway, old, 401)
    wait_gone(gateway, old)
    assert left(gateway, old) == set()
    assert left(gateway, young) == {"build_audit", "build_requests", "build_attempts", "build_events", "build_logs", "ended_builds"}
    wait_for(lambda: service.metric('kiln_retention_removed_total{what="builds"}') >= removed + 1, "the metric")
    assert service.metric('kiln_retention_last_run_timestamp_seconds{what="builds"}') > 0
    done = shared_database.run("verify-audit")
    assert done.returncode == 0 and json.loads(done.stdout)["ok"], done


def test_whose_post_had_a_key_leaves_its_id_and_hash(gateway, ended):
    raw = bytearray(secrets.token_bytes(16))
    raw[6], raw[8] = (raw[6] & 0x0F) | 0x80, (raw[8] & 0x3F) | 0x80
    build = ended(str(uuid.UUID(bytes=bytes(raw))))
    kept = gateway.sql("select request_hash from build_audit where id = %s", build)
    make_older(gateway, build, 401)
    wait_gone(gateway, build)
    assert left(gateway, build) == {"pruned_builds"}
    assert gateway.sql("select request_hash from pruned_builds where build_id = %s", build) == kept


def test_a_build_of_nobody_goes_too(gateway, ended):
    build = ended()
    gateway.sql("update build_audit set owner = null where id = %s", build)
    make_older(gateway, build, 401)
    wait_gone(gateway, build)


def test_a_build_that_has_not_ended_stays(gateway, ended):
    build = gateway.post(gateway.project(), labels=["nowhere"])
    gateway.wait(build, "pending")
    wait_published(gateway, build)
    make_older(gateway, build, 500)
    younger(gateway, ended)
    assert left(gateway, build) == {"build_audit", "build_requests", "build_events"}


def test_a_build_of_which_an_event_is_not_published_stays_until_it_is(gateway, ended):
    build = ended()
    # No relay owns this shard.
    gateway.sql(
        "insert into outbox (shard, topic, source, time, build_ids, first_sequences, last_sequences, events, bytes)"
        " values (1000, 'kiln.build.events', '/kiln/build-service', '', array[%s::uuid], '{1}', '{1}', 1, 1)",
        build,
    )
    make_older(gateway, build, 500)
    younger(gateway, ended)
    assert "build_events" in left(gateway, build)
    gateway.sql("delete from outbox where shard = 1000")
    wait_gone(gateway, build)


def test_many_go_in_many_batches(gateway):
    project = gateway.project()
    gateway.sql(
        "insert into build_audit (id, project_id, project_name, owner, status, max_attempts, class, priority, queue_timeout_s, created_at, finished_at)"
        " select gen_random_uuid(), %s, 'p', gen_random_uuid(), 'failed', 3, 'command', 5, 1, now() - interval '450 days', now() - interval '450 days' from generate_series(1, 450)",
        project["id"],
    )
    wait_for(lambda: gateway.sql("select count(*) from build_audit where project_id = %s", project["id"]) == [(0,)], "all to go")


def test_log_lines_go_before_their_build_and_younger_lines_stay(gateway, ended):
    build = ended()
    log(gateway, build, 2)
    gateway.sql("update build_logs set stored_at = now() - interval '31 days' where build_id = %s and first_line = 1", build)
    wait_for(lambda: gateway.sql("select first_line from build_logs where build_id = %s", build) == [(2,)], "the old line to go")
    assert "build_audit" in left(gateway, build)


def test_log_lines_of_a_build_that_has_not_ended_stay(gateway, ended):
    build = gateway.post(gateway.project(), labels=["nowhere"])
    gateway.wait(build, "pending")
    other = ended()
    log(gateway, build, 1)
    gateway.sql("update build_logs set stored_at = now() - interval '32 days' where build_id = %s", build)
    gateway.sql("update build_logs set stored_at = now() - interval '31 days' where build_id = %s", other)
    wait_for(lambda: "build_logs" not in left(gateway, other), "the other's lines to go")
    assert "build_logs" in left(gateway, build)


def test_entries_of_the_audit_log_go_with_the_trail(gateway):
    ids = {days: new_id() for days in (399, 401)}
    for days, id in ids.items():  # pylint: disable=redefined-builtin
        gateway.sql(
            "insert into audit_log (id, time, token_id, route, outcome, resource_type, resource, request_id, address)"
            f" values (%s, now() - interval '{days} days', gen_random_uuid(), 'POST /projects', 'created', 'project', 'x', 'x', '::1')",
            id,
        )
    wait_for(lambda: not gateway.sql("select 1 from audit_log where id = %s", ids[401]), "the old entry to go")
    assert gateway.sql("select 1 from audit_log where id = %s", ids[399])


def last_run(service, what):
    return service.metric(f'kiln_retention_last_run_timestamp_seconds{{what="{what}"}}')


def wait_turn(service):
    before = last_run(service, "audit_entries")
    wait_for(lambda: last_run(service, "audit_entries") > before, "a turn of the audit log")


def test_one_instance_at_a_time_is_at_it(gateway, ended, service, shared_database):
    build = ended()
    with contextlib.closing(psycopg.connect(shared_database.url)) as another:
        another.execute("select pg_advisory_xact_lock(hashtext('kiln.retention.builds'))")
        make_older(gateway, build, 401)
        # The audit log has a lock of its own, and its turn comes after the builds': what began before the lock is over then.
        wait_turn(service)
        before = last_run(service, "builds")
        wait_turn(service)
        wait_turn(service)
        assert "build_audit" in left(gateway, build)
        assert last_run(service, "builds") == before, "it has not looked"
    wait_gone(gateway, build)
    wait_for(lambda: last_run(service, "builds") > before, "it to look")


FILL = """
insert into build_audit (id, project_id, project_name, owner, status, max_attempts, class, priority, queue_timeout_s, created_at, finished_at)
select gen_random_uuid(), gen_random_uuid(), 'p', gen_random_uuid(), 'failed', 3, 'command', 5, 1, now() - i * interval '1 minute', now() from generate_series(1, 5000) as i;
insert into build_logs (build_id, attempt, first_line, line_count, lines) select gen_random_uuid(), 1, 1, 1, '' from generate_series(1, 5000);
insert into audit_log (id, time, token_id, route, outcome, resource_type, resource, request_id, address)
select gen_random_uuid(), now(), gen_random_uuid(), 'POST /projects', 'created', 'project', 'x', 'x', '::1' from generate_series(1, 5000)"""


@pytest.fixture(name="large", scope="module")
def large_tables(shared_database):
    shared_database.sql(FILL)
    shared_database.sql("analyze build_audit, build_logs, audit_log")
    with plans.session(shared_database.url_as("kiln_build_service", PASSWORDS["kiln_build_service"])) as connection:
        yield connection


@pytest.mark.parametrize("name, index", [("find_builds", "build_audit_posted"), ("remove_logs", "build_logs_stored"), ("remove_audit", "audit_log_time")])
def test_a_look_is_a_walk_from_the_oldest(large, name, index):
    text = (SQL / f"retention_{name}.sql").read_text(encoding="utf-8")
    large.execute(f"prepare {name} as {text}".encode())
    plan = "\n".join(row[0] for row in large.execute(f"explain (costs off) execute {name}(400)"))
    assert f"using {index}" in plan and "Sort" not in plan, plan
