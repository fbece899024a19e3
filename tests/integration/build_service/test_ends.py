"""Retries, settling, time-outs."""
import datetime

import psycopg

from kiln_testing.waiting import stays, wait_for
from playing import LOCK_MATCH

SETTINGS = {"KILN_LEASE_MS": "3000", "KILN_WORKER_FRESH_MS": "2000"}


def running(gateway, executor, **spec):
    build = gateway.post(gateway.project(), **spec)
    assign = executor.assigned(build)
    executor.accept(assign)
    gateway.wait(build, "running")
    return build, assign


def test_a_retryable_failure_is_tried_again_until_the_attempts_are_used(gateway, worker):
    executor = worker()
    build = gateway.post(gateway.project(), max_attempts=2)
    error = {"class": "git_unreachable", "message": "no route"}
    for number in (1, 2):
        assign = executor.assigned(build, attempt=number)
        executor.accept(assign)
        executor.finish(assign, "failed", retryable=True, error=error)
    row = gateway.wait(build)
    assert row["status"] == "failed" and row["error_class"] == "git_unreachable" and row["attempts_used"] == 2
    lost = [event["data"] for event in gateway.trail(build) if event["type"] == "build.attempt_lost"]
    assert [(one["reason"], one["error"], one["status"]) for one in lost] == [("failed", error, "pending")]


def test_a_lost_attempt_that_reached_pushing_is_tried_again_with_what_it_announced(gateway, worker):
    first = worker(slots=1)
    build, assign = running(gateway, first)
    first.phase(assign, "agent", base_sha="a" * 40, branch="main")
    first.phase(assign, "pushing", commit_sha="d" * 40)
    gateway.wait_phase(build, "pushing")
    first.freeze()
    second = worker()
    again = second.assigned(build)
    assert again["mode"] == "run" and again["earlier"] == [{"attempt": 1, "commit_sha": "d" * 40}]
    assert again["base_sha"] == "a" * 40 and again["branch"] == "main"
    second.run(again)
    gateway.wait(build, "completed")


def test_a_cancelled_build_that_reached_pushing_is_settled(gateway, worker):
    first = worker(slots=1)
    build, assign = running(gateway, first)
    first.phase(assign, "pushing", commit_sha="d" * 40)
    gateway.wait_phase(build, "pushing")
    gateway.cancel(build)
    first.wait_command("attempt.cancel", build)
    first.freeze()
    second = worker(agents=["opencode"])
    settle = second.assigned(build)
    assert settle["mode"] == "settle" and settle["settle_end"] == {"status": "cancelled", "error": {"class": "cancelled", "message": "cancelled"}}
    second.accept(settle)
    second.finish(settle, "failed", closed=True, retryable=False)
    row = gateway.wait(build)
    assert row["status"] == "cancelled" and row["attempts_used"] == 0
    assert "unsettled" not in gateway.trail(build)[-1]["data"]
    assert [attempt["mode"] for attempt in gateway.attempts(build)] == ["run", "settle"]


def test_settling_adopts_a_commit_that_did_land(gateway, worker):
    executor = worker()
    build, assign = running(gateway, executor)
    executor.phase(assign, "pushing", commit_sha="d" * 40)
    executor.finish(assign, "failed")
    settle = executor.assigned(build, attempt=2)
    assert settle["mode"] == "settle"
    assert settle["settle_end"]["error"]["class"] == "agent_failed"
    executor.accept(settle)
    executor.finish(settle, published=True, commit_sha="d" * 40)
    row = gateway.wait(build)
    assert row["status"] == "completed" and row["result"]["commit_sha"] == "d" * 40


def test_settling_comes_before_other_work(gateway, worker, shared_database):
    executor = worker(slots=1)
    build, assign = running(gateway, executor)
    others = [gateway.post(gateway.project(), priority=9) for _ in range(3)]
    for other in others:
        gateway.wait(other, "pending")
    executor.phase(assign, "pushing", commit_sha="d" * 40)
    executor.finish(assign, "failed")
    wait_for(lambda: sum(command["type"] == "attempt.assign" for command in executor.commands) >= 2, "the next assignment")
    following = [command for command in executor.commands if command["type"] == "attempt.assign"][1]
    assert following["build_id"] == build and following["mode"] == "settle"
    assert shared_database.sql("select count(*) from project_slots where build_id = %s", build) == [(0,)]
    executor.accept(following)
    executor.finish(following, published=True)


def test_a_build_that_waits_too_long_fails(gateway):
    build = gateway.post(gateway.project(), queue_timeout_s=1, labels=["nowhere"])
    row = gateway.wait(build)
    assert row["status"] == "failed" and row["error_class"] == "queue_timeout"
    assert gateway.types(build) == ["build.pending", "build.failed"]


def test_time_in_the_queue_begins_behind_the_pause_before_another_try(gateway, worker, shared_database):
    executor = worker()
    build, assign = running(gateway, executor, queue_timeout_s=86400)
    with psycopg.connect(shared_database.url) as other:
        other.execute(LOCK_MATCH)  # it stays in the queue
        executor.finish(assign, "failed", retryable=True)
        [(left,)] = wait_for(lambda: gateway.sql("select deadline - not_before from build_queue where build_id = %s", build), "it to wait again")
    assert left == datetime.timedelta(days=1)
    executor.run(executor.assigned(build, attempt=2))
    gateway.wait(build, "completed")


def test_time_in_the_queue_counts_only_there(gateway, worker):
    executor = worker()
    assign = None
    while assign is None:  # one that did not have to wait for so long
        build = gateway.post(gateway.project(), queue_timeout_s=3)
        wait_for(lambda build=build: executor.was_assigned(build) or gateway.status(build) == "failed", "the assignment")
        assign = executor.was_assigned(build)
    executor.accept(assign)
    stays(lambda: gateway.status(build) in (None, "pending", "running"), "the build", 4.5)
    executor.finish(assign)
    gateway.wait(build, "completed")
