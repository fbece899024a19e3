"""Slots that get their next build in the transaction that frees them (refill.h), and what happens when something is in its way."""
import psycopg
import pytest

from kiln_testing.waiting import stays, wait_for

SETTINGS = {"KILN_WORKER_FRESH_MS": "60000"}  # a test may silence its worker for as long as its steps take
LOCK = "select pg_advisory_xact_lock(hashtext('kiln.match'))"


class Line:
    """One worker with one slot, which has the first of some builds; the others wait."""

    def __init__(self, service, gateway, worker, **project):
        self.service, self.gateway = service, gateway
        self.project = gateway.project(**project)
        self.executor = worker(slots=1)
        self.running = self.executor.assigned(self.post())
        self.waiting = self.post()
        gateway.wait_phase(self.waiting, "queued")

    def post(self):
        return self.gateway.post(self.project)

    def refilled(self):
        return self.service.metric("kiln_refilled_slots_total")

    def finish(self):
        """Its slot is free; who is next."""
        self.executor.run(self.running)
        ended, self.running = self.running["build_id"], None
        self.gateway.wait(ended, "completed")
        return ended


@pytest.fixture
def line(service, gateway, worker):
    return Line(service, gateway, worker)


def test_the_slot_of_an_ended_build_goes_to_the_next_in_one_transaction(line):
    """Once it is known that somebody waits, which the dispatcher's look has told."""

    def one():
        before = line.refilled()
        ended, begun = line.finish(), line.waiting
        line.running = line.executor.assigned(begun)
        (end,) = line.gateway.sql("select xmin::text from build_audit where id = %s", ended)
        (begin,) = line.gateway.sql("select xmin::text from build_attempts where build_id = %s", begun)
        line.waiting = line.post()
        line.gateway.wait_phase(line.waiting, "queued")
        assert (line.refilled() > before) == (end == begin)
        return end == begin

    wait_for(one, "a slot that is given on", poll=0.1)
    assert line.gateway.types(line.running["build_id"])[:2] == ["build.pending", "build.phase"]


def test_while_a_match_is_under_way_the_dispatcher_gives_the_slot_on(line, shared_database):
    before = line.refilled()
    with psycopg.connect(shared_database.url) as other:
        other.execute(LOCK)
        line.finish()  # which did not wait for the lock
        stays(lambda: not line.executor.was_assigned(line.waiting), "the wait", 0.2)
    line.executor.assigned(line.waiting)
    assert line.refilled() == before


def test_a_build_that_somebody_has_locked_is_not_waited_for(line, shared_database):
    before = line.refilled()
    with psycopg.connect(shared_database.url) as other:
        other.execute("select from build_audit where id = %s for update", (line.waiting,))
        line.finish()
        stays(lambda: not line.executor.was_assigned(line.waiting), "the wait", 0.2)
    line.executor.assigned(line.waiting)
    assert line.refilled() == before


def test_the_place_in_a_project_is_given_on_too(service, gateway, worker):
    line = Line(service, gateway, worker, concurrency=1)
    for _ in range(3):
        line.finish()
        line.running = line.executor.assigned(line.waiting)
        assert gateway.sql("select count(*) from project_slots where project_id = %s", line.project["id"]) == [(1,)]
        line.waiting = line.post()
        gateway.wait_phase(line.waiting, "queued")
