"""Two instances with half of the partitions each: what they do for the same build meets at one moment, which a lock of the test makes."""
import psycopg

from instances import HELD, HOLD, PARTITIONS, make_held
from kiln_testing.records import partition_of
from kiln_testing.waiting import stays, wait_for
from playing import ASSIGNMENTS, RESULTS, WORKER_EVENTS, id_where, new_id


def id_in_half(half):
    """An id whose partition belongs to the first or to the second of two instances that share evenly."""
    return id_where(lambda number: number // 6 == half)


def two_instances(place, *settings):
    services = [place.service(**one) for one in settings]
    wait_for(lambda: [service.metric("kiln_inbox_owned_partitions") for service in services] == [PARTITIONS / 2] * 2, "both to own one half")
    return services


def in_halves(place, **settings):
    """Two instances; a worker of the first one's half with a build of the second one's: (services, worker, build, assignment)."""
    services = two_instances(place, settings, settings)
    executor = place.worker(works=False, worker_id=id_in_half(0))
    build = place.gateway.post(place.gateway.project(), build=id_in_half(1))
    return services, executor, build, executor.assigned(build)


def hold_results(connection, build):
    """Until its transaction is over, no result of this build is applied."""
    connection.execute(
        "select from consumer_offsets where consumer = 'kiln-build-service' and topic = %s and partition = %s for update", (RESULTS, partition_of(build.encode(), 12))
    )


def test_a_result_that_was_logged_before_its_lease_ended_counts(place):
    """One instance minds the workers' leases; the other has their results and cannot apply them. Of one worker nothing more is heard."""
    _, gone, build, assign = in_halves(place, KILN_LEASE_MS="3000")
    waits = place.worker(works=False, worker_id=id_in_half(0), labels=["waits"])
    beside = place.gateway.post(place.gateway.project(), build=id_where(lambda number: number == partition_of(build.encode(), 12)), labels=["waits"])
    builds = {beside: (waits, waits.assigned(beside)), build: (gone, assign)}
    for one, (executor, its) in builds.items():
        executor.accept(its)
        place.gateway.wait(one, "running")
    with psycopg.connect(place.database.url) as other:
        hold_results(other, build)
        for executor, its in builds.values():  # who waits is due first, and so for no round that the other began
            executor.finish(its)
            executor.heartbeat()
            place.gateway.wait_applied(WORKER_EVENTS, executor.id)
        gone.freeze()
        stays(lambda: [place.gateway.row(one)["status"] for one in builds] == ["running"] * 2, "the attempts", 6)  # twice a lease
    for one in builds:
        place.gateway.wait(one, "completed")
        assert [attempt["state"] for attempt in place.gateway.attempts(one)] == ["finished"]
    place.check([*builds])


def test_a_push_that_was_announced_before_a_restart_is_not_forgotten(place):
    """One instance has the hello of the worker's new start; the other has the announcement and cannot apply it."""
    _, executor, build, assign = in_halves(place, KILN_LEASE_MS="60000")
    executor.accept(assign)
    place.gateway.wait(build, "running")
    place.gateway.cancel(build)
    executor.wait_command("attempt.cancel", build)
    sha = "c" * 40
    with psycopg.connect(place.database.url) as other:
        hold_results(other, build)
        executor.phase(assign, "pushing", commit_sha=sha)
        executor.quieten()
        after = place.worker(works=False, worker_id=executor.id, counter=2)
        heard = lambda: place.gateway.sql("select incarnation from workers where id = %s", executor.id) == [(2,)]  # noqa: E731
        wait_for(heard, "the new start to be known")
        stays(lambda: place.gateway.row(build)["status"] == "running", "the attempt", 3)
    settle = after.assigned(build)
    assert place.gateway.first_attempt(build, "end_reason") == "worker_restarted"
    assert settle["mode"] == "settle" and settle["earlier"] == [{"attempt": 1, "commit_sha": sha}]
    after.run(settle)
    assert place.gateway.wait(build)["status"] == "completed"


def half_of(place, service):
    """Which half an instance owns."""
    build = place.gateway.post(place.gateway.project(), build=id_in_half(0), labels=["nobody"])
    place.gateway.wait(build, "pending")
    accepted = wait_for(lambda: [one for one in place.services if one.metric("kiln_builds_accepted_total") > 0], "the build to be counted")
    return 0 if accepted == [service] else 1


def test_of_two_whose_accepts_are_overdue_only_the_one_that_sent_none_is_held_back(place):
    """One instance gives both their builds in one match, and strikes at both in one round; the other has an accept and cannot apply it."""
    settings = {"KILN_ACCEPT_DEADLINE_MS": "1500", "KILN_LEASE_MS": "60000", "KILN_DISPATCH_TIMER_MS": "600000"}
    service, _ = two_instances(place, {**settings, "KILN_WORKER_FRESH_MS": "60000"}, {**settings, "KILN_WORKER_FRESH_MS": "500"})  # the other never sees them fresh
    gateway, half = place.gateway, half_of(place, service)
    guilty, innocent = (place.worker(works=False, labels=[label], worker_id=id_in_half(half), heartbeat_s=0) for label in ("guilty", "innocent"))
    guilty.deafen()
    wait_for(lambda: gateway.sql("select count(*) from workers where state = 'active'") == [(2,)], "both workers")
    gateway.sql("update workers set read_until = 1000000")
    missed = gateway.post(gateway.project(), labels=["guilty"], build=id_in_half(1 - half))
    taken = gateway.post(gateway.project(), labels=["innocent"], build=id_where(lambda number: number == partition_of(missed.encode(), 12)))
    for build in (missed, taken):
        gateway.wait_phase(build, "queued")
    wait_for(lambda: gateway.sql("select bool_and(now() - heartbeat_at > interval '0.5 s') from workers") == [(True,)], "both to have been silent")
    gateway.sql("update workers set read_until = 0")
    with psycopg.connect(place.database.url) as other:
        hold_results(other, taken)  # before its time runs: nothing but the accept itself is to be within the deadline
        place.worker(works=False, labels=["drum"], worker_id=id_in_half(half), heartbeat_s=0.1)  # wakes the dispatcher
        innocent.accept(innocent.assigned(taken))
        # Something in its assignments that it has not read: who is held back must read it first.
        innocent.deafen()
        gateway.sender.send(ASSIGNMENTS, innocent.id, "attempt.abandon", {"worker_id": new_id(), "incarnation": innocent.incarnation})
        gateway.sender.flush()
        stays(lambda: all(gateway.first_attempt(build, "state") == "assigned" for build in (missed, taken)), "both attempts", 3)
    wait_for(lambda: gateway.first_attempt(missed, "end_reason") == "accept_timeout", "the attempt to be lost")
    gateway.wait(taken, "running")
    more = gateway.post(gateway.project(), labels=["innocent"])
    wait_for(lambda: gateway.attempts(more), "the innocent one to be given more")
    assert len(gateway.attempts(missed)) == 1 and len(gateway.attempts(taken)) == 1


def sessions(place, condition, columns="pid"):
    """The process ids of the build services' sessions that are like this."""
    return place.gateway.sql(f"select {columns} from pg_stat_activity where application_name = 'kiln-build-service' and datname = current_database() and {condition}")


def place_of_the_other(place):
    """A build of one instance has its project's only place, no timer helps, and no worker says anything: (project, worker, its assignment)."""
    settings = {name: "600000" for name in ("KILN_DISPATCH_TIMER_MS", "KILN_LEASE_MS", "KILN_ACCEPT_DEADLINE_MS", "KILN_WORKER_FRESH_MS")}
    two_instances(place, settings, settings)
    executor = place.worker(works=False)
    wait_for(lambda: place.gateway.sql("select 1 from workers where id = %s", executor.id), "the worker")
    executor.quieten()
    project = place.gateway.project(concurrency=1)
    return project, executor, executor.assigned(place.gateway.post(project, build=id_in_half(0)))


def test_a_place_that_one_instance_gives_back_goes_to_whom_the_other_has_parked(place):
    project, executor, running = place_of_the_other(place)
    for _ in range(2):  # after these the one knows of nobody who waits
        before = place.gateway.post(place.gateway.project(), build=id_in_half(0))
        executor.run(executor.assigned(before))
        place.gateway.wait(before, "completed")
    build = place.gateway.post(project, build=id_in_half(1))
    wait_for(lambda: place.gateway.sql("select parked from build_queue") == [(True,)], "the build to be parked")
    executor.run(running)
    executor.assigned(build)


def test_a_place_that_is_given_back_while_the_other_instance_parks_a_build_is_not_forgotten(place):
    """Who gives it back has looked for parked builds before it was one."""
    project, executor, running = place_of_the_other(place)
    make_held(place.database, "update on build_queue for each row when (new.parked)")
    with psycopg.connect(place.database.url) as parking:
        parking.execute(HOLD)
        build = place.gateway.post(project, build=id_in_half(1))
        wait_for(lambda: sessions(place, HELD), "the build to be parked")
        executor.run(running)
        place.gateway.wait(running["build_id"], "completed")
        wait_for(lambda: sessions(place, "wait_event_type = 'Lock' and query like '%%kiln.match%%'"), "the other instance to want to match")
    executor.assigned(build)


def test_an_accept_that_is_being_committed_as_its_lease_ends_counts(place):
    """One instance minds the worker, whose heartbeats lack the attempt; the other has applied its accept, and commits it as the first one decides."""
    settings = {"KILN_LEASE_MS": "5000", "KILN_ACCEPT_DEADLINE_MS": "120000"}
    services, executor, build, assign = in_halves(place, **settings)
    executor.drop.add("attempt.assign")  # it is sent again and again
    token = executor.held.pop(assign["lease_id"])
    make_held(place.database, "insert on build_events for each row when (new.type = 'build.started')")
    with psycopg.connect(place.database.url) as worker, psycopg.connect(place.database.url) as starts, psycopg.connect(place.database.url) as results:
        starts.execute(HOLD)
        hold_results(results, build)
        looks = set()  # the first is before the ends are asked for, and some more later their records are in the logs
        reads = "query like '%%next_offset FROM consumer_offsets%%'"
        wait_for(lambda: looks.update(sessions(place, reads, "pid, query_start")) or len(looks) > 4, "the end of the lease to wait for its record", poll=0.01)
        worker.execute("select from workers where id = %s for update", (executor.id,))
        results.rollback()
        place.gateway.wait_applied(RESULTS, build)
        executor.accept(assign)
        [(holder,)] = wait_for(lambda: sessions(place, HELD), "the accept to be applied")
        worker.rollback()
        wait_for(lambda: sessions(place, f"{holder} = any(pg_blocking_pids(pid))"), "the end of the lease to wait for the build")
        executor.held[assign["lease_id"]] = token
        starts.rollback()
    executor.finish(assign)
    wait_for(lambda: place.gateway.first_attempt(build, "state") in ("finished", "lost"), "the attempt to end")
    assert [attempt["state"] for attempt in place.gateway.attempts(build)] == ["finished"]
    assert not [line for line in services[0].lines() + services[1].lines() if line["msg"] == "attempts not held any more"]
