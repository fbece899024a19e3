"""Tokens, repeats, and results that come at the wrong time."""
import secrets
import signal
import uuid

import psycopg
import pytest

from kiln_testing.waiting import wait_for
from playing import RESULTS, new_id, result


def test_a_report_of_another_token_changes_nothing(gateway, worker, service):
    executor = worker()
    build = gateway.post(gateway.project())
    assign = executor.assigned(build)
    executor.accept(assign)
    gateway.wait(build, "running")
    stale = service.metric("kiln_stale_results_total")
    executor.report({**assign, "attempt": 2}, "attempt.phase", phase="agent", base_sha=None, branch=None, commit_sha=None)
    executor.report({**assign, "lease_id": str(uuid.uuid4())}, "attempt.finished", outcome="completed", published=False, closed=False, retryable=False, result=result())
    wait_for(lambda: service.metric("kiln_stale_results_total") >= stale + 2, "two stale results")
    assert gateway.row(build)["phase"] == "preparing"
    executor.finish(assign)
    gateway.wait(build, "completed")


def test_a_push_that_is_told_after_its_attempt_was_lost_is_looked_for(gateway, worker):
    gone = worker(labels=["late"])
    build = gateway.post(gateway.project(), labels=["late"])
    assign = gone.assigned(build)
    gone.accept(assign)
    gateway.wait(build, "running")
    gone.quieten()
    gone.bye()
    wait_for(lambda: gateway.first_attempt(build, "state") == "lost", "the attempt to be lost")
    shas = ["b" * 40, "c" * 40]
    for sha in [*shas, *shas]:  # after a rebase; and all once more
        gone.phase(assign, "pushing", commit_sha=sha)
    wait_for(lambda: "lost_attempt" in gateway.trail(build)[-1]["data"], "the push to be known")
    gateway.cancel(build)
    other = worker()
    settle = other.assigned(build)
    assert settle["mode"] == "settle" and settle["earlier"] == [{"attempt": 1, "commit_sha": shas[1]}]
    told = [event["data"] for event in gateway.trail(build) if "lost_attempt" in event["data"]]
    assert [(data["commit_sha"], data["lost_attempt"]) for data in told] == [(shas[0], 1)]
    other.run(settle)
    gateway.wait(build, "completed")


def test_repeated_reports_change_nothing(gateway, worker):
    executor = worker()
    build = gateway.post(gateway.project())
    assign = executor.assigned(build)
    for _ in range(2):
        executor.accept(assign)
        executor.phase(assign, "agent", base_sha="a" * 40, branch="main")
    for _ in range(3):
        executor.finish(assign)
    gateway.wait(build, "completed")
    executor.finish(assign)
    other = gateway.post(gateway.project())
    executor.assigned(other)
    assert gateway.types(build) == ["build.pending", "build.phase", "build.started", "build.phase", "build.completed"]


def test_a_finished_attempt_is_released_however_often_it_is_reported(gateway, worker):
    executor = worker(drop=["attempt.released"])
    build = gateway.post(gateway.project())
    assign = executor.assigned(build)
    executor.accept(assign)
    executor.finish(assign)
    gateway.wait(build, "completed")
    executor.drop.clear()
    assert executor.wait_command("attempt.released", build)["last"] is True
    wait_for(lambda: not executor.reported, "the worker to forget the result")


def test_a_result_that_makes_no_sense_ends_the_build(gateway, worker):
    executor = worker()
    build = gateway.post(gateway.project())
    assign = executor.assigned(build)
    executor.accept(assign)
    executor.report(assign, "attempt.finished", outcome="splendid", result={"success": "very"})
    row = gateway.wait(build)
    assert row["status"] == "failed" and row["error_class"] == "internal" and row["result"]["error"]["class"] == "internal"


def test_a_push_whose_result_makes_no_sense_is_looked_for(gateway, worker):
    executor = worker()
    build = gateway.post(gateway.project())
    assign = executor.assigned(build)
    executor.phase(assign, "pushing", commit_sha="b" * 40)
    agent = {"provider": "of a later version"}
    executor.finish(assign, published=True, result={**result(commit_sha="b" * 40), "agent": agent})
    settle = executor.assigned(build, attempt=2)
    assert settle["mode"] == "settle" and settle["earlier"] == [{"attempt": 1, "commit_sha": "b" * 40}]
    executor.run(settle)
    assert gateway.wait(build)["status"] == "completed"


@pytest.mark.parametrize("value", [b"{", b'{"build_id": 1}', b"{}"])
def test_an_illegible_result_is_a_dead_letter(gateway, shared_database, value):
    count = shared_database.sql("select count(*) from dead_letters")[0][0]
    gateway.sender.send(RESULTS, new_id(), "attempt.accepted", None, value=value)
    gateway.sender.flush()
    wait_for(lambda: shared_database.sql("select count(*) from dead_letters")[0][0] == count + 1, "the dead letter")


def test_a_result_of_an_unknown_build_waits_and_is_used_up_with_the_request(gateway, worker, shared_database):
    executor = worker()
    build = new_id()
    executor.report({"build_id": build, "attempt": 1, "lease_id": str(uuid.uuid4())}, "attempt.accepted")
    wait_for(lambda: shared_database.sql("select count(*) from early_results where build_id = %s", build) == [(1,)], "the early result")
    gateway.post(gateway.project(), build=build)
    executor.assigned(build)
    assert shared_database.sql("select count(*) from early_results where build_id = %s", build) == [(0,)]


def store_early(database, build, event_id):
    """As an instance does that does not know the build; of a token that is nobody's."""
    data = f'{{"build_id":"{build}","attempt":1,"lease_id":"{uuid.uuid4()}","worker_id":"{uuid.uuid4()}","incarnation":{{"counter":1,"nonce":"{uuid.uuid4()}"}}}}'
    database.sql("insert into early_results (build_id, ce_id, type, data) values (%s, %s, 'attempt.accepted', %s)", build, event_id, data)


def test_early_results_of_a_build_that_came_meanwhile_are_swept(gateway, shared_database):
    build = gateway.post(gateway.project())
    gateway.wait(build, "pending")
    store_early(shared_database, build, "x")
    wait_for(lambda: shared_database.sql("select count(*) from early_results where build_id = %s", build) == [(0,)], "the sweep")


def test_an_early_result_that_comes_while_its_request_takes_another_is_not_lost(gateway, shared_database, service):
    """The transaction of the request has read the first and is held up before it is stored; another instance stores the second then."""
    build, stale = new_id(), service.metric("kiln_stale_results_total")
    store_early(shared_database, build, "read")
    with psycopg.connect(shared_database.url) as other:
        other.execute(
            "insert into build_audit (id, project_id, project_name, status, phase, max_attempts, class, priority, queue_timeout_s, last_sequence, last_hash, created_at)"
            " values (%s, gen_random_uuid(), 'p', 'pending', 'queued', 3, 'command', 5, 60, 1, '', now())",
            (build,),
        )
        gateway.post(gateway.project(), build=build)
        held = "select count(*) from pg_stat_activity where %s = any(pg_blocking_pids(pid))"
        wait_for(lambda: shared_database.sql(held, other.info.backend_pid) == [(1,)], "the request's transaction to be held up")
        store_early(shared_database, build, "not read")
        other.rollback()
    wait_for(lambda: shared_database.sql("select count(*) from early_results where build_id = %s", build) == [(0,)], "the early results to be taken")
    wait_for(lambda: service.metric("kiln_stale_results_total") >= stale + 2, "both to be looked at")


def test_a_push_of_a_lost_attempt_found_after_the_end_is_recorded_once(gateway, worker):
    executor = worker()
    build = gateway.post(gateway.project())
    assign = executor.assigned(build)
    executor.accept(assign)
    executor.finish(assign)
    gateway.wait(build, "completed")
    sha = secrets.token_hex(20)
    for _ in range(2):
        executor.report(
            {**assign, "lease_id": str(uuid.uuid4())}, "attempt.finished", outcome="completed", published=True, closed=False, retryable=False, result=result(commit_sha=sha)
        )
    wait_for(lambda: "build.late_commit" in gateway.types(build), "build.late_commit")
    other = gateway.post(gateway.project())
    executor.assigned(other)
    assert gateway.types(build).count("build.late_commit") == 1
    late = gateway.trail(build)[-1]["data"]
    assert late["commit_sha"] == sha and late["status"] == "completed" and late["lost_attempt"] == 1
    assert gateway.row(build)["result"]["commit_sha"] is None


def test_a_rebase_announces_pushing_again(gateway, worker):
    executor = worker()
    build = gateway.post(gateway.project())
    assign = executor.assigned(build)
    executor.accept(assign)
    for sha in ("1" * 40, "1" * 40, "2" * 40):
        executor.phase(assign, "pushing", commit_sha=sha)
    executor.finish(assign, published=True, commit_sha="2" * 40)
    gateway.wait(build, "completed")
    pushed = [event["data"].get("commit_sha") for event in gateway.trail(build) if event["data"]["phase"] == "pushing"]
    assert pushed == ["1" * 40, "2" * 40]


def test_all_records_of_a_build_in_one_batch_take_effect_in_their_order(gateway, worker, service):
    executor = worker()
    build = gateway.post(gateway.project())
    assign = executor.assigned(build)
    service.process.send_signal(signal.SIGSTOP)
    try:
        executor.accept(assign)
        executor.phase(assign, "agent", base_sha="a" * 40, branch="main")
        executor.phase(assign, "committing")
        executor.phase(assign, "pushing", commit_sha="b" * 40)
        executor.finish(assign, published=True, commit_sha="b" * 40)
    finally:
        service.process.send_signal(signal.SIGCONT)
    row = gateway.wait(build, "completed")
    assert (row["base_sha"], row["branch"], row["attempts_used"]) == ("a" * 40, "main", 1)
    phases = [event["data"]["phase"] for event in gateway.trail(build)]
    assert phases == ["queued", "assigned", "preparing", "agent", "committing", "pushing", None]
