"""Slots that get their next build in the transaction that frees them (refill.h), and what happens when something is in its way."""
import psycopg
import pytest

from kiln_testing.waiting import stays, wait_for
from playing import LOCK_MATCH

SETTINGS = {"KILN_WORKER_FRESH_MS": "60000"}  # a test may silence its worker for as long as its steps take


class Line:
    """One worker with one slot, which has the first of some builds; the others wait, and the service knows it."""

    def __init__(self, service, gateway, worker, **project):
        self.service, self.gateway = service, gateway
        self.project = gateway.project(**project)
        self.executor = worker(slots=1)
        self.running = self.executor.assigned(self.post())
        self.waiting = None
        self.add()

    def post(self):
        return self.gateway.post(self.project)

    def add(self):
        """One more that waits, after the dispatcher's look at it."""
        before = self.service.metric("kiln_match_seconds_count")
        self.waiting = self.post()
        self.gateway.wait_phase(self.waiting, "queued")
        wait_for(lambda: self.service.metric("kiln_match_seconds_count") > before, "the dispatcher to look")

    def refilled(self):
        return self.service.metric("kiln_refilled_slots_total")

    def missed(self):
        return self.service.metric("kiln_refill_misses_total")

    def finish(self):
        """Its slot is free; who is next."""
        self.executor.run(self.running)
        ended, self.running = self.running["build_id"], None
        self.gateway.wait(ended, "completed")
        return ended

    def finishes_without_waiting(self):
        """The slot is left to the dispatcher, by a try that did not wait; what it left has nothing of it."""
        refilled, missed = self.refilled(), self.missed()
        before = self.gateway.trail(self.waiting)
        self.finish()
        wait_for(lambda: self.missed() > missed, "the try")
        stays(lambda: not self.executor.was_assigned(self.waiting), "the wait", 0.2)
        assert self.refilled() == refilled and self.gateway.trail(self.waiting) == before


@pytest.fixture(params=[None, 1], ids=["no limit", "limit"])
def line(request, service, gateway, worker):
    return Line(service, gateway, worker, concurrency=request.param)


def test_the_slot_of_an_ended_build_goes_to_the_next_in_one_transaction(line):
    before = line.refilled()
    ended, begun = line.finish(), line.waiting
    command = line.executor.assigned(begun)
    (end,) = line.gateway.sql("select xmin::text from build_audit where id = %s", ended)
    (begin,) = line.gateway.sql("select xmin::text from build_attempts where build_id = %s", begun)
    assert begin == end and line.refilled() == before + 1
    assert line.gateway.types(begun)[:2] == ["build.pending", "build.phase"]
    line.executor.run(command)
    line.gateway.wait(begun, "completed")


def test_while_a_match_is_under_way_the_dispatcher_gives_the_slot_on(line, shared_database):
    with psycopg.connect(shared_database.url) as other:
        other.execute(LOCK_MATCH)
        line.finishes_without_waiting()
    line.executor.assigned(line.waiting)


def test_a_build_that_somebody_has_locked_is_left_as_it_is(line, shared_database):
    with psycopg.connect(shared_database.url) as other:
        other.execute("select from build_audit where id = %s for update", (line.waiting,))
        line.finishes_without_waiting()
    line.executor.assigned(line.waiting)


def test_a_worker_that_somebody_has_locked_is_left_to_the_dispatcher(line, shared_database):
    """Its heartbeats would wait for the row, and the results behind them."""
    line.executor.quieten()
    with psycopg.connect(shared_database.url) as other:
        other.execute("select from workers where id = %s for update", (line.executor.id,))
        line.finishes_without_waiting()
    line.executor.assigned(line.waiting)
