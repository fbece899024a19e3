"""Lone new builds that are decided by the last look and verified by their transaction (last_look.h): right also when the look is out of date."""
import uuid

import psycopg
import pytest

from instances import HELD, HOLD, make_held
from kiln_testing.waiting import stays, wait_for
from playing import REQUESTS


class Known:
    """A project and a worker with room, which the service has seen: the next build is decided by that."""

    def __init__(self, service, gateway, worker):
        self.service, self.gateway = service, gateway
        self.project = gateway.project()
        self.executor = worker(slots=50)
        self.guessed()

    def guesses(self):
        return self.service.metric("kiln_optimistic_batches_total")

    def wrong(self):
        return self.service.metric("kiln_optimistic_misses_total")

    def guessed(self):
        """A build of which it is sure that it was guessed: nothing else was in its batch."""

        def one():
            before = self.guesses()
            command = self.executor.assigned(self.gateway.post(self.project))
            return self.guesses() > before and command

        return wait_for(one, "a build in one round trip", poll=0.1)


@pytest.fixture
def known(service, gateway, worker):
    return Known(service, gateway, worker)


def test_the_trail_is_that_of_any_build(known, gateway):
    command = known.guessed()
    build = command["build_id"]
    assert gateway.types(build) == ["build.pending", "build.phase"] and gateway.row(build)["phase"] == "assigned"
    known.executor.run(command)
    assert gateway.wait(build, "completed")["attempt"] == 1


def test_a_limit_that_the_project_has_got_is_kept(known, gateway, shared_database):
    wrong = known.wrong()
    shared_database.sql("update projects set concurrency = 1 where id = %s", known.project["id"])
    first = gateway.post(known.project)
    known.executor.assigned(first)
    second = gateway.post(known.project)
    gateway.wait_phase(second, "queued")
    stays(lambda: gateway.row(second)["phase"] == "queued", "the limit", 0.5)
    assert known.wrong() > wrong


def test_a_project_that_was_deleted_gets_no_build(known, gateway, shared_database):
    shared_database.sql("update projects set deleted_at = now() where id = %s", known.project["id"])
    assert gateway.wait(gateway.post(known.project), "failed")["error_class"] == "rejected"


@pytest.fixture
def holding(shared_database):
    """Whatever is about to store a build waits until this connection's transaction is over."""
    make_held(shared_database, "insert on build_audit for each row")
    with psycopg.connect(shared_database.url) as connection:
        connection.execute(HOLD)
        yield connection
    shared_database.sql("drop function hold cascade")


@pytest.mark.parametrize("count", [1, 60])
def test_a_project_cannot_be_deleted_while_builds_of_it_are_being_stored(known, gateway, shared_database, holding, count):
    """A lone build is guessed, many are not."""
    builds = [gateway.queue(known.project) for _ in range(count)]
    gateway.sender.flush()
    wait_for(lambda: gateway.sql(f"select 1 from pg_stat_activity where {HELD}"), "a build to be stored")
    with pytest.raises(psycopg.errors.LockNotAvailable):
        shared_database.sql("select from projects where id = %s for update nowait", known.project["id"])
    holding.rollback()
    for build in builds:
        gateway.wait(build, "pending")


def test_a_worker_that_has_gone_gets_no_build(known, gateway, worker):
    known.executor.bye()
    wait_for(lambda: gateway.sql("select count(*) from workers where id = %s and state = 'active'", known.executor.id) == [(0,)], "the worker to be gone")
    build = gateway.post(known.project)
    gateway.wait_phase(build, "queued")
    assert gateway.attempts(build) == []
    assert worker(slots=50).assigned(build)  # and what the other one has left behind


def test_a_slot_that_was_taken_meanwhile_is_not_given_twice(known, gateway, shared_database):
    known.executor.quieten()
    heard = "select heartbeat_at from workers where id = %s"
    before = shared_database.sql(heard, known.executor.id)
    known.executor.heartbeat()  # the last one, which says that there is room
    wait_for(lambda: shared_database.sql(heard, known.executor.id) != before, "the heartbeat to be heard")
    shared_database.sql("update workers set slots = (select count(*) from build_attempts where held and worker_id = workers.id) where id = %s", known.executor.id)
    build = gateway.post(known.project)
    gateway.wait_phase(build, "queued")
    assert not [command for command in known.executor.commands if command["build_id"] == build]


def test_a_request_that_comes_twice_makes_one_build(known, gateway):
    request = gateway.request(known.project)
    gateway.send(request)
    known.executor.assigned(request["build_id"])
    gateway.send(request)
    known.executor.assigned(gateway.post(known.project))
    assert gateway.types(request["build_id"]) == ["build.pending", "build.phase"]


def test_a_result_that_came_before_its_build_is_not_forgotten(known, gateway, shared_database):
    request = gateway.request(known.project)
    build = request["build_id"]
    token = {"build_id": build, "attempt": 1, "lease_id": str(uuid.uuid4())}
    known.executor.accept(token)
    wrong = known.wrong()
    waiting = "select count(*) from early_results where build_id = %s"
    wait_for(lambda: shared_database.sql(waiting, build) == [(1,)], "the early result")
    gateway.send(request)
    known.executor.assigned(build)
    wait_for(lambda: shared_database.sql(waiting, build) == [(0,)], "the early result to be looked at")
    assert known.wrong() > wrong


def test_a_barrier_beside_it_is_passed_over(known, gateway, shared_database):
    def counts():
        return [known.service.metric(f"kiln_{name}_total") for name in ("inbox_records", "inbox_batches", "optimistic_batches")]

    def guessed():
        """Both in one batch, which took one round trip."""
        before = counts()
        request = gateway.request(known.project)
        gateway.barrier(request["build_id"])
        gateway.send(request)
        known.executor.assigned(request["build_id"])
        return [now - then for now, then in zip(counts(), before)] == [2, 1, 1] and request["build_id"]

    build = wait_for(guessed, "a build beside a barrier", poll=0.1)
    gateway.wait_applied(REQUESTS, build)
    assert shared_database.sql("select count(*) from dead_letters where topic = %s", REQUESTS) == [(0,)]


def test_it_goes_directly_although_a_build_waits_that_nobody_can_run(known, gateway):
    stuck = gateway.post(known.project, labels=["nobody-has-this"])
    gateway.wait_phase(stuck, "queued")

    def goes_directly():
        before = known.service.metric("kiln_match_seconds_count")
        known.executor.assigned(gateway.post(known.project))
        return known.service.metric("kiln_match_seconds_count") == before

    wait_for(goes_directly, "a build that no match was needed for", poll=0.1)
    assert gateway.row(stuck)["phase"] == "queued"


def test_a_request_that_comes_again_after_its_build_was_pruned_makes_none(known, gateway, shared_database):
    build = f"{uuid.uuid4().hex[:8]}-0000-8000-8000-{uuid.uuid4().hex[:12]}"  # as from an Idempotency-Key
    shared_database.sql("insert into pruned_builds (build_id) values (%s)", build)
    gateway.sender.send(REQUESTS, build, "build.requested", gateway.request(known.project, build=build))
    gateway.sender.flush()
    gateway.wait_applied(REQUESTS, build)
    assert gateway.row(build) is None
