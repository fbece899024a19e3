"""kiln-migrate verify-audit: each way in which a trail can be broken is found and named, and whole ones are whole."""
import concurrent.futures
import hashlib
import json

import psycopg
import pytest

from databases import Database
from kiln_testing.waiting import wait_for
from trails import WHOLE, Trail, body_of

FIRST, SECOND, THIRD = (f"{n}0000000-0000-4000-8000-000000000000" for n in "1af")


def verify(database):
    """(exit status, what the one line says)."""
    done = database.run("verify-audit")
    assert done.stdout.endswith("\n") and done.stdout.count("\n") == 1, done
    return done.returncode, json.loads(done.stdout)


@pytest.fixture(name="migrated", scope="module")
def migrated_database(infra, tmp_path_factory):
    one = Database(infra, tmp_path_factory.mktemp("audit"))
    one.migrate()
    yield one
    one.drop()


@pytest.fixture(name="database")
def without_trails(migrated):
    migrated.sql("truncate build_audit, build_events")
    return migrated


@pytest.fixture(name="trails")
def three_whole_trails(database):
    return database, [Trail(database, build).begin().add(*WHOLE) for build in (FIRST, SECOND, THIRD)]


def is_broken(database, build, sequence, kind):
    status, said = verify(database)
    assert (status, said["ok"]) == (1, False)
    assert said["broken"] == {"build_id": build, "sequence": sequence, "kind": kind}
    return said


def test_whole_trails_are_counted_and_fine(trails):
    database, (_, second, _) = trails
    second.add("build.late_commit")
    Trail(database).begin().add("build.pending")
    assert verify(database) == (0, {"ok": True, "builds": 4, "events": 11})


def test_no_builds_are_fine(database):
    assert verify(database) == (0, {"ok": True, "builds": 0, "events": 0})


def test_a_changed_body_is_found_where_it_is(trails):
    database, _ = trails
    database.sql("update build_events set body = %s where build_id = %s and sequence = 2", body_of(SECOND, 2, "build.started", padding="y"), SECOND)
    is_broken(database, SECOND, 2, "hash")


def test_a_hash_that_was_made_to_fit_breaks_the_next_link(trails):
    database, _ = trails
    previous = bytes(database.sql("select hash from build_events where build_id = %s and sequence = 1", SECOND)[0][0])
    body = body_of(SECOND, 2, "build.started", padding="y")
    database.sql("update build_events set body = %s, hash = %s where build_id = %s and sequence = 2", body, hashlib.sha256(previous + body).digest(), SECOND)
    is_broken(database, SECOND, 3, "hash")


@pytest.mark.parametrize("sequence", [1, 2])
def test_an_event_that_is_gone_leaves_a_gap(trails, sequence):
    database, _ = trails
    database.sql("delete from build_events where build_id = %s and sequence = %s", SECOND, sequence)
    is_broken(database, SECOND, sequence, "missing")


def test_a_trail_that_was_cut_off_at_its_end_is_found(trails):
    database, _ = trails
    database.sql("delete from build_events where build_id = %s and sequence = 3", SECOND)
    is_broken(database, SECOND, 3, "end")


def test_a_trail_that_is_gone_altogether_is_found(trails):
    database, _ = trails
    database.sql("delete from build_events where build_id = %s", THIRD)
    is_broken(database, THIRD, 1, "end")


def test_a_row_that_names_another_hash_is_found(trails):
    database, _ = trails
    database.sql("update build_audit set last_hash = %s where id = %s", bytes(32), FIRST)
    is_broken(database, FIRST, 4, "end")


@pytest.mark.parametrize("build", [FIRST, THIRD])
def test_events_of_a_build_that_has_no_row_are_found(trails, build):
    database, _ = trails
    database.sql("delete from build_audit where id = %s", build)
    is_broken(database, build, 1, "no_build")


def test_a_body_of_another_event_is_found_though_its_hash_fits(trails):
    database, (_, second, _) = trails
    second.add("build.late_commit", build_id=FIRST)
    is_broken(database, SECOND, 4, "body")


def test_a_type_that_does_not_go_with_the_body_is_found(trails):
    database, _ = trails
    database.sql("update build_events set type = 'build.failed' where build_id = %s and sequence = 3", SECOND)
    is_broken(database, SECOND, 3, "body")


def test_an_event_after_the_end_is_found(trails):
    database, (_, second, _) = trails
    second.add("build.started")
    is_broken(database, SECOND, 4, "after_end")


def losing(database, *kinds, status="failed"):
    """A build whose second attempt is lost for good, and what follows."""
    trail = Trail(database, SECOND).begin().add("build.pending", "build.started", "build.attempt_lost", "build.started")
    return trail.add("build.attempt_lost", status=status).add(*kinds)


def test_a_loss_that_tells_the_end_goes_before_it(database):
    losing(database, "build.failed")
    assert verify(database) == (0, {"ok": True, "builds": 1, "events": 6})


@pytest.mark.parametrize("kinds", [(), ("build.completed",), ("build.started",), ("build.started", "build.failed")])
def test_a_loss_that_tells_the_end_is_found_without_it(database, kinds):
    losing(database, *kinds)
    is_broken(database, SECOND, 5, "no_terminal")


def test_no_other_event_tells_the_end(database):
    Trail(database, SECOND).begin().add("build.pending").add("build.started", status="failed").add("build.failed")
    is_broken(database, SECOND, 2, "body")


def test_a_build_that_has_ended_without_a_terminal_event_is_found(trails):
    database, _ = trails
    trail = Trail(database, "b0000000-0000-4000-8000-000000000000").begin().add("build.pending")
    database.sql("update build_audit set status = 'failed', phase = null where id = %s", trail.build)
    is_broken(database, trail.build, 1, "no_terminal")


def test_the_first_of_several_is_named(trails):
    database, _ = trails
    database.sql("delete from build_events where sequence = 2 and build_id <> %s", FIRST)
    is_broken(database, SECOND, 2, "missing")


def test_a_body_that_is_not_fetched_is_vouched_for_by_its_hash(trails):
    database, (_, second, _) = trails
    second.add("build.late_commit", padding="x" * 2_000_000)
    assert verify(database)[0] == 0
    database.sql("update build_events set body = body || 'x' where build_id = %s and sequence = 4", SECOND)
    is_broken(database, SECOND, 4, "hash")


def test_a_trail_that_grows_meanwhile_is_whole(trails):
    database, (_, second, _) = trails
    waiting = "select count(*) from pg_locks where not granted and relation = 'build_events'::regclass and database = %s"
    here = database.sql("select oid from pg_database where datname = current_database()")[0][0]
    with psycopg.connect(database.url) as writer:
        writer.execute("lock table build_events in access exclusive mode")
        with concurrent.futures.ThreadPoolExecutor() as pool:
            verdict = pool.submit(verify, database)
            # It has looked at the builds' rows, and waits to look at the events.
            wait_for(lambda: database.sql(waiting, here) == [(1,)], "verify-audit to wait for the events")
            second.add("build.late_commit", connection=writer)
            writer.commit()
            assert verdict.result(90) == (0, {"ok": True, "builds": 3, "events": 9})
    assert verify(database) == (0, {"ok": True, "builds": 3, "events": 10})


def test_no_database_is_no_verdict(database):
    done = database.run("verify-audit", KILN_DATABASE_URL="postgresql://kiln@127.0.0.1:1/nowhere")
    assert done.returncode == 1 and done.stdout == "" and "verify-audit" in done.stderr
