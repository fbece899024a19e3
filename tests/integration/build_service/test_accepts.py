"""Attempts that are not accepted in time (docs/protocol.md section 4)."""
from kiln_testing.waiting import stays, wait_for

SETTINGS = {"KILN_ACCEPT_DEADLINE_MS": "2000"}


def lost(gateway, build):
    return [event["data"]["reason"] for event in gateway.trail(build) if event["type"] == "build.attempt_lost"]


def test_an_attempt_that_nobody_accepts_goes_to_another_worker_and_costs_nothing(gateway, worker, service):
    deaf = worker(slots=1)
    deaf.deafen()  # it must not read the assignment: then it would be told the next one too
    timeouts = service.metric("kiln_accept_timeouts_total")
    build = gateway.post(gateway.project())
    wait_for(lambda: gateway.sql("select 1 from build_attempts where build_id = %s", build), "the first assignment")
    other = worker(slots=1)
    second = other.assigned(build)
    assert second["attempt"] == 2
    leases = gateway.sql("select attempt, lease_id::text from build_attempts where build_id = %s order by attempt", build)
    assert leases[1][1] == second["lease_id"] != leases[0][1]
    other.run(second)
    row = gateway.wait(build)
    assert row["status"] == "completed" and row["attempts_used"] == 1 and row["losses"] == 0
    assert lost(gateway, build) == ["accept_timeout"]
    wait_for(lambda: service.metric("kiln_accept_timeouts_total") >= timeouts + 1, "the time-out to be counted")
    assert service.metric("kiln_accept_timeouts_total") == timeouts + 1


def test_a_worker_that_missed_an_accept_gets_nothing_before_it_has_read_on(gateway, worker):
    deaf = worker(slots=4)
    deaf.deafen()
    first = gateway.post(gateway.project())
    wait_for(lambda: lost(gateway, first) == ["accept_timeout"], "the attempt to be lost")
    more = [gateway.post(gateway.project()) for _ in range(3)]
    stays(lambda: all(gateway.row(build) is None or gateway.row(build)["phase"] == "queued" for build in [*more]), "the queue", 2)
    deaf.works = True
    deaf.hearing.set()
    for build in [first, *more]:
        gateway.wait(build, "completed")


def test_an_accept_that_comes_too_late_is_told_to_abandon(gateway, worker):
    late = worker(slots=1)
    build = gateway.post(gateway.project())
    assign = late.assigned(build)
    wait_for(lambda: lost(gateway, build)[:1] == ["accept_timeout"], "the attempt to be lost")
    late.accept(assign)
    late.wait_command("attempt.abandon", build)
    assert gateway.row(build)["attempts_used"] == 0


def test_an_assignment_that_was_lost_is_sent_again(gateway, worker, service, shared_database):
    """With its token, however busy the service is meanwhile; before the deadline, after which it would be another attempt."""
    worker(slots=1, heartbeat_s=0.02)  # a batch every 20 ms
    executor = worker(slots=1, labels=["lossy"], heartbeat_s=0.2, drop=["attempt.assign"])
    before = service.metric("kiln_accept_timeouts_total")
    build = gateway.post(gateway.project(), labels=["lossy"])
    lost_one = executor.wait_dropped(build)
    executor.drop.clear()
    assign = executor.assigned(build)
    assert (assign["attempt"], assign["lease_id"]) == (lost_one["attempt"], lost_one["lease_id"])
    executor.run(assign)
    gateway.wait(build, "completed")
    assert service.metric("kiln_accept_timeouts_total") == before
    assert shared_database.sql("select count(*) from build_attempts where build_id = %s and held", build) == [(0,)]
