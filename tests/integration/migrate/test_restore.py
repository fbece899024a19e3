"""kiln-migrate restore: published events that the trails lack are taken over, and nothing else is. (The whole way of a restore: tests/system/test_restore.py.)"""
import hashlib
import json
import uuid

import confluent_kafka
import psycopg
import pytest
import rfc8785

from databases import PASSWORDS
from kiln_testing import cloudevents
from kiln_testing.places import ROOT
from kiln_testing.records import partition_of
from kiln_testing.waiting import wait_for

PARTITIONS = 12
LIVES = {
    "build.pending": ("pending", "queued", {}),
    "build.phase": ("pending", "assigned", {"worker_id": "10000000-0000-4000-8000-000000000000"}),
    "build.started": ("running", "preparing", {"worker_id": "10000000-0000-4000-8000-000000000000", "mode": "run"}),
    "build.completed": ("completed", None, {"result": {"commit_sha": None, "error": None, "success": True}}),
}
WHOLE = tuple(LIVES)
STARTED, MORE = LIVES["build.started"][:2], LIVES["build.started"][2]
ENDED = [*LIVES.items()][:3] + [("build.failed", ("failed", None, {"result": {"commit_sha": None, "error": {"class": "agent_failed", "message": "m"}, "success": False}}))]
LOST = {
    **{kind: LIVES[kind] for kind in WHOLE[:2]},
    "build.started": (*STARTED, {**MORE, "branch": "resolved"}),
    "build.attempt_lost": ("pending", "queued", {"reason": "lease_expired"}),
}


@pytest.fixture(name="database")
def migrated_database(database):
    database.migrate()
    return database


def restore(database, expect=0):
    """What it says: on standard output, or on standard error."""
    done = database.run("restore")
    assert done.returncode == expect, done.stderr
    return json.loads(done.stdout) if done.stdout else done.stderr


class Build:
    """A build of the backup, and what was published of it."""

    def __init__(self, database, lives=None):
        self.database, self.id, self.hash = database, str(uuid.uuid4()), bytes(32)
        self.project = str(uuid.uuid4())
        self.events = []
        for sequence, (kind, (status, phase, more)) in enumerate(lives or LIVES.items(), 1):
            body = {
                "attempt": int(sequence > 1), "build_id": self.id, "metadata": {}, "phase": phase,
                "project": {"id": self.project, "name": "p"}, "sequence": sequence, "status": status, **more,
            }  # fmt: skip
            data = rfc8785.dumps(body)
            self.hash = hashlib.sha256(self.hash + data).digest()
            self.events.append((sequence, kind, data, self.hash))

    def as_pending(self):
        """As the backup has it."""
        digest = self.events[0][3]
        self.database.sql(
            "insert into build_audit (id, project_id, project_name, status, phase, max_attempts, class, priority, queue_timeout_s, last_sequence, last_hash, created_at)"
            " values (%s, %s, 'p', 'pending', 'queued', 3, 'command', 5, 60, 1, %s, now())",
            self.id, self.project, digest,
        )  # fmt: skip
        self.database.sql("insert into build_queue (build_id, project_id, class, queue_key, created_at, own_class) values (%s, %s, 'command', now(), now(), 'command')", self.id, self.project)
        self.store(self.events[:1])
        return self

    def store(self, events):
        for sequence, kind, data, digest in events:
            self.database.sql(
                "insert into build_events (build_id, sequence, type, time, attempt, body, hash) values (%s, %s, %s, now(), %s, %s, %s)",
                self.id, sequence, kind, int(sequence > 1), data, digest,
            )  # fmt: skip

    def publish(self, *kinds):
        return self.send(event for event in self.events if event[1] in kinds)

    def send(self, events):
        producer = confluent_kafka.Producer({"bootstrap.servers": self.database.system.brokers})
        for sequence, kind, data, digest in events:
            place = {"ce_id": f"build/{self.id}/{sequence}", "ce_sequence": f"{sequence:010}", "ce_hash": digest.hex()}
            headers = cloudevents.headers(kind, "/kiln/build-service", self.id, **place)
            producer.produce("kiln.build.events", data, key=self.id, partition=partition_of(self.id.encode(), PARTITIONS), headers=headers)
        assert producer.flush(60) == 0
        return self

    def row(self):
        return self.database.sql("select status, phase, attempt, attempts_used, last_sequence, last_hash from build_audit where id = %s", self.id)[0]

    def trail(self):
        return self.database.sql("select sequence, type, body, hash from build_events where build_id = %s order by sequence", self.id)

    def attempts(self):
        return self.database.sql("select attempt, state, held, mode from build_attempts where build_id = %s", self.id)

    def waits(self):
        return bool(self.database.sql("select 1 from build_queue where build_id = %s", self.id))


def test_a_build_that_ended_since_the_backup_has_ended(database):
    build = Build(database).as_pending().publish(*WHOLE)
    assert restore(database)["rolled"] == 1
    assert build.row() == ("completed", None, 1, 1, 4, build.hash)
    assert build.trail() == build.events
    assert build.attempts() == [(1, "finished", False, "run")] and not build.waits()
    assert database.sql("select status from ended_builds where build_id = %s", build.id) == [("completed",)]


def test_a_build_that_ran_is_held_by_a_lease_of_nobody(database):
    build = Build(database).as_pending().publish(*WHOLE[:3])
    assert restore(database)["rolled"] == 1
    assert build.row()[:5] == ("running", "preparing", 1, 1, 3)
    assert build.attempts() == [(1, "accepted", True, "run")] and not build.waits()


def test_what_is_no_event_of_a_build_is_left_out_and_told(database):
    build = Build(database).as_pending()
    rubbish = [b"not json", b'{"a":"\\u0000"}', b"[]", build.events[3][2].replace(b'"attempt":1', b'"attempt":"x"'), b"\xff", None]
    build.send((99, "build.completed", data, bytes(32)) for data in rubbish).publish(*WHOLE)
    done = database.run("restore")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["rolled"] == 1 and done.stderr.count("not an event of a build") >= len(rubbish)
    assert build.trail() == build.events


def test_a_build_that_had_ended_keeps_its_result_and_its_end_when_a_late_commit_was_published_since(database):
    late = ("failed", None, {"commit_sha": "c" * 40, "lost_attempt": 1})
    build = Build(database, [*ENDED, ("build.late_commit", late)]).as_pending()
    database.sql(
        "update build_audit set status = 'failed', phase = null, attempt = 1, last_sequence = 4, last_hash = %s, finished_at = '2026-01-01', error_class = 'agent_failed',"
        """ result = '{"error":{"class":"agent_failed"},"success":false}' where id = %s""",
        build.events[3][3], build.id,
    )  # fmt: skip
    database.sql("delete from build_queue where build_id = %s", build.id)
    build.store(build.events[1:4])
    build.publish("build.late_commit")
    told = "select result::text, error_class, finished_at, started_at from build_audit where id = %s"
    before = database.sql(told, build.id)
    assert restore(database)["rolled"] == 1
    assert build.trail() == build.events and database.sql(told, build.id) == before


@pytest.mark.parametrize("queued", [True, False], ids=["queued", "not queued"])
def test_a_build_that_waits_again_stands_in_the_lists_of_the_queue(database, queued):
    build = Build(database, LOST.items()).as_pending().publish(*LOST)
    database.sql("update build_audit set asked_branch = 'asked', template = 't@1' where id = %s", build.id)
    if queued:
        database.sql("update build_queue set branch = 'asked', template = 't@1' where build_id = %s", build.id)
    else:
        database.sql("delete from build_queue where build_id = %s", build.id)
    assert restore(database)["rolled"] == 1
    assert build.row()[:3] == ("pending", "queued", 1)
    assert database.sql("select own_class, branch, template from build_queue where build_id = %s", build.id) == [("command", "resolved", "t@1")]


def test_a_build_that_is_to_settle_needs_no_place_in_its_project_though_it_was_parked(database):
    events = [
        ("build.pending", LIVES["build.pending"]),
        ("build.started", (*STARTED, MORE)),
        ("build.phase", ("running", "pushing", {"commit_sha": "c" * 40})),
        ("build.attempt_lost", ("pending", "queued", {"cancel_requested": True, "reason": "lease_expired"})),
    ]
    build = Build(database, events).as_pending().publish(*dict(events))
    database.sql("update build_queue set parked = true where build_id = %s", build.id)
    assert restore(database)["rolled"] == 1
    assert database.sql("select class, parked from build_queue where build_id = %s", build.id) == [("*", False)]


def test_an_assignment_that_was_lost_before_it_was_accepted_is_no_try(database):
    assigned, worker = LIVES["build.phase"][:2], LIVES["build.phase"][2]
    lives = [
        ("build.pending", LIVES["build.pending"]),
        ("build.phase", (*assigned, {**worker, "attempt": 1})),
        ("build.attempt_lost", ("pending", "queued", {"attempt": 1, "reason": "accept_timeout"})),
        ("build.phase", (*assigned, {**worker, "attempt": 2})),
        ("build.started", (*STARTED, {**MORE, "attempt": 2})),
        ("build.attempt_lost", ("pending", "queued", {"attempt": 2, "reason": "failed", "error": {"class": "git_unreachable", "message": "m"}})),
    ]
    build = Build(database, lives).as_pending().publish(*dict(lives))
    assert restore(database)["rolled"] == 1
    assert build.row()[2:4] == (2, 1)


def test_a_loss_of_what_was_accepted_before_the_backup_is_no_try(database):
    lives = [*LIVES.items()][:3] + [("build.attempt_lost", ("pending", "queued", {"reason": "lease_expired"}))]
    build = Build(database, lives).as_pending()
    database.sql("update build_audit set status = 'running', phase = 'preparing', attempt = 1, attempts_used = 1, last_sequence = 3, last_hash = %s where id = %s", build.events[2][3], build.id)
    build.store(build.events[1:3])
    database.sql(
        "insert into build_attempts (build_id, attempt, lease_id, worker_id, incarnation, nonce, mode, state, held, assigned_at, accepted_at)"
        " values (%s, 1, gen_random_uuid(), gen_random_uuid(), 1, gen_random_uuid(), 'run', 'accepted', true, now(), now())",
        build.id,
    )
    build.publish("build.attempt_lost")
    assert restore(database)["rolled"] == 1
    assert build.row()[:4] == ("pending", "queued", 1, 0)


def test_a_batch_of_builds_that_were_made_again_is_rolled_forward_in_the_time_that_a_statement_has(database):
    """As the build service does it: a thousand builds, without hash joins."""
    with psycopg.connect(database.url) as connection:
        connection.execute("create temporary table made as select gen_random_uuid() as id from generate_series(1, 1000)")
        connection.execute(
            "insert into build_audit (id, project_id, project_name, status, phase, max_attempts, class, priority, queue_timeout_s, last_sequence, last_hash, created_at)"
            " select id, gen_random_uuid(), 'p', 'pending', 'queued', 3, 'command', 5, 60, 1, '', now() from made"
        )
        connection.execute(
            "insert into restored_events (build_id, sequence, type, time, body, hash) select id, n, case n when 8 then 'build.completed' else 'build.phase' end, now(),"
            " convert_to(json_build_object('attempt', 1, 'phase', case when n < 8 then 'agent' end, 'status', case n when 8 then 'completed' else 'running' end,"
            " 'metadata', json_build_object('k', repeat('x', 500)))::text, 'UTF8'), '' from made, generate_series(1, 8) as n"
        )
        for setting in ("enable_seqscan", "enable_hashjoin", "enable_mergejoin", "enable_bitmapscan", "jit"):
            connection.execute(f"set {setting} = off")
        connection.execute("set statement_timeout = '10s'")
        statement = (ROOT / "build-service" / "sql" / "roll_forward.sql").read_text(encoding="utf-8").replace("$1", "(select array_agg(id) from made)")
        assert sum(count for (count,) in connection.execute(statement)) == 1000


def test_a_trail_of_which_events_are_missing_stays_as_it_is(database):
    build = Build(database).as_pending().publish("build.started", "build.completed")
    said = restore(database, expect=1)
    assert (said["rolled"], said["broken"]) == (0, 1)
    assert build.row()[:5] == ("pending", "queued", 0, 0, 1) and len(build.trail()) == 1 and build.waits()


def test_what_the_backup_has_no_build_for_waits(database):
    before = restore(database)["waiting"]  # of other tests, on the same topics
    build = Build(database).publish(*WHOLE)
    assert restore(database)["waiting"] == before + 1
    assert database.sql("select count(*) from restored_events where build_id = %s", build.id) == [(4,)]


def test_each_time_the_epoch_is_raised_and_nothing_is_rolled_twice(database):
    build = Build(database).as_pending().publish(*WHOLE)
    assert restore(database)["epoch"] == 1
    again = restore(database)
    assert (again["epoch"], again["rolled"]) == (2, 0)
    assert build.trail() == build.events


def test_it_refuses_beside_a_service_and_changes_nothing(database):
    build = Build(database).as_pending().publish(*WHOLE)
    with psycopg.connect(database.url_as("kiln_build_service", PASSWORDS["kiln_build_service"])):
        assert "end all services" in restore(database, expect=1)
    assert build.row()[0] == "pending" and database.sql("select epoch from deployment") == [(0,)]
    wait_for(lambda: not database.sql("select 1 from pg_stat_activity where datname = current_database() and usename = 'kiln_build_service'"), "it to be gone")
    assert restore(database)["rolled"] == 1
