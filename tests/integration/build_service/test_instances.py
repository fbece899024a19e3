"""Several instances, killed, frozen and cut off from their database: nothing is lost and nothing doubled."""
import hashlib
import signal
import statistics
import time

import psycopg
import pytest

from databases import Database
from kiln_testing.records import partition_of
from kiln_testing.services import held_threads
from kiln_testing.waiting import stays, wait_for
from playing import ASSIGNMENTS, REQUESTS, RESULTS, Gateway, Service, Worker, catches_up_to, id_where, new_id, skip_old_records, stored_trail

COUNT = 200
PARTITIONS = 4 * 12  # requests, results, worker events and logs


@pytest.fixture
def place(infra, tmp_path):
    """A database of its own and what runs on it."""
    database = Database(infra, tmp_path)
    database.migrate()
    skip_old_records(database)
    one = Place(database, tmp_path)
    yield one
    one.end()
    database.drop()


class Place:
    def __init__(self, database, folder):
        self.database, self.folder = database, folder
        self.gateway = Gateway(database)
        self.services, self.workers = [], []

    def service(self, wait=True, **variables):
        self.services.append(Service(self.database, self.folder, **variables).start(wait))
        return self.services[-1]

    def worker(self, **options):
        self.workers.append(Worker(self.database, **{"works": True, "slots": 8, **options}))
        return self.workers[-1]

    def end(self):
        for worker in self.workers:
            worker.stop()
            worker.bye()  # a later test's database reads this too
        for service in self.services:
            if service.process.poll() is None:
                service.process.send_signal(signal.SIGCONT)
            assert service.stop() in (0, None)
        self.gateway.connection.close()

    def post(self, count, pause=0.0):
        project = self.gateway.project()
        builds = []
        for _ in range(count):
            builds.append(self.gateway.queue(project))
            time.sleep(pause)
        self.gateway.sender.flush()
        return builds

    def all_ended(self, builds, deadline=180):
        def completed():
            found = self.gateway.sql("select status, phase, count(*) from build_audit where id = any(%s::uuid[]) group by 1, 2", builds)
            assert found == [("completed", None, len(builds))], found
            return True

        wait_for(completed, "all builds to be completed", deadline=deadline, poll=0.1)

    def check(self, builds):
        """What must hold whatever happened."""
        for build in builds:
            trail = self.gateway.trail(build)
            previous = bytes(32)
            for number, event in enumerate(trail, 1):
                assert event["sequence"] == number
                previous = hashlib.sha256(previous + event["body"]).digest()
                assert event["hash"] == previous
            types = [event["type"] for event in trail]
            # An instance that was frozen may still send what it had decided; these workers, unlike real ones, push without asking the fence.
            while types[-1] == "build.late_commit":
                types.pop()
            assert types[0] == "build.pending" and types.count("build.pending") == 1
            assert [one for one in types if one in ("build.completed", "build.failed", "build.cancelled")] == ["build.completed"] == types[-1:]
            attempts = self.gateway.attempts(build)
            assert [attempt["state"] for attempt in attempts].count("finished") == 1
        wait_for(lambda: self.gateway.sql("select count(*) from outbox") == [(0,)], "the outbox to be empty")
        assert self.gateway.sql("select count(*) from build_attempts where held and build_id = any(%s::uuid[])", builds) == [(0,)]
        assert self.gateway.sql("select count(*) from build_queue where build_id = any(%s::uuid[])", builds) == [(0,)]
        assert self.gateway.sql("select count(*) from project_slots where build_id = any(%s::uuid[])", builds) == [(0,)]


def shared(services):
    """Both own partitions."""
    owned = [service.metric("kiln_inbox_owned_partitions") for service in services]
    return all(number > 0 for number in owned)


def test_two_instances_share_the_work(place):
    services = [place.service(), place.service()]
    wait_for(lambda: shared(services), "both to own partitions")
    place.worker()
    builds = place.post(COUNT)
    place.all_ended(builds)
    place.check(builds)
    assert all(service.metric("kiln_builds_accepted_total") > 0 for service in services)


def test_an_instance_that_is_killed_loses_nothing(place):
    services = [place.service(), place.service()]
    wait_for(lambda: shared(services), "both to own partitions")
    place.worker()
    place.worker()
    builds = place.post(COUNT, pause=0.002)
    services[0].stop(signal.SIGKILL)
    builds += place.post(COUNT, pause=0.002)
    place.all_ended(builds)
    place.check(builds)


def test_the_only_instance_killed_again_and_again_loses_nothing(place):
    service = place.service()
    place.worker()
    place.worker()
    builds = []
    for _ in range(3):
        builds += place.post(COUNT // 2, pause=0.002)
        service.stop(signal.SIGKILL)
        builds += place.post(10)
        service = place.service()
    place.all_ended(builds)
    place.check(builds)


def test_a_frozen_instance_that_wakes_up_does_no_harm(place):
    services = [place.service(), place.service()]
    wait_for(lambda: shared(services), "both to own partitions")
    place.worker()
    place.worker()
    builds = place.post(COUNT, pause=0.002)
    services[0].process.send_signal(signal.SIGSTOP)
    builds += place.post(COUNT // 2, pause=0.002)
    wait_for(lambda: services[1].metric("kiln_inbox_owned_partitions") == PARTITIONS, "the other to own all")
    builds += place.post(COUNT // 2, pause=0.002)
    place.all_ended(builds)
    services[0].process.send_signal(signal.SIGCONT)
    builds += place.post(COUNT // 2, pause=0.002)
    place.all_ended(builds)
    place.check(builds)


STEPS = 5  # of two instances and of Kafka, one after the other


def hand_over(old, new):
    """How long it takes from the signal until the new one owns all, and the longest that a question took meanwhile."""
    asked = []

    def owns_all():
        asking = time.monotonic()
        owned = new.metric("kiln_inbox_owned_partitions")
        asked.append(time.monotonic() - asking)
        return owned == PARTITIONS

    began = time.monotonic()
    old.process.send_signal(signal.SIGTERM)
    wait_for(owns_all, "the other to own all", poll=0.01)
    took = time.monotonic() - began
    assert old.process.wait(60) == 0
    return took, max(asked)


def test_an_ended_instance_hands_over_within_a_second(place):
    """And a few steps, which take as long as this machine needs for something small."""
    services, found = [place.service()], []
    for _ in range(3):
        services.append(place.service())
        wait_for(lambda: shared(services), "both to own partitions")
        found.append(hand_over(services.pop(0), services[0]))
    assert statistics.median(took - STEPS * asked for took, asked in found) < 1, found


def test_sessions_that_are_ended_under_way_lose_nothing(place):
    place.service()
    place.worker()
    place.worker()
    builds = []
    for _ in range(10):
        builds += place.post(COUNT // 10, pause=0.002)
        place.gateway.sql("select pg_terminate_backend(pid) from pg_stat_activity where application_name = 'kiln-build-service' and datname = current_database()")
    place.all_ended(builds)
    place.check(builds)


@pytest.mark.parametrize(
    "name, value, lacking",
    [
        ("KILN_KAFKA_BROKERS", "127.0.0.1:1", {"kafka", "partitions", "logs"}),
        ("KILN_DATABASE_URL", "postgresql://kiln_build_service:secret@127.0.0.1:1/kiln", {"partitions", "logs"}),
    ],
)
def test_it_starts_and_stops_while_something_is_away(place, name, value, lacking):
    service = place.service(wait=False, **{name: value})
    wait_for(lambda: set(service.missing() or {}) == lacking, f"/readyz to name {lacking}")
    assert "ok" in service.ops("/livez")
    assert service.stop() == 0
    assert "secret" not in service.log_path.read_text(encoding="utf-8")


def is_open(service):
    try:
        return service.ops("/livez") == "ok\n"
    except OSError:
        return False


def test_nobody_may_ask_for_its_readiness_any_more_when_what_that_looks_at_ends(place):
    service = place.service()
    with held_threads(service.process.pid, "intake"):  # the first to end
        service.process.send_signal(signal.SIGTERM)
        wait_for(lambda: not is_open(service), "the ops port to be closed", deadline=30)
        assert service.process.poll() is None
    assert service.process.wait(60) == 0, service.log_path.read_text(encoding="utf-8")


def test_attempts_that_nobody_accepted_are_struck_by_the_next_instance(place):
    fast = {"KILN_ACCEPT_DEADLINE_MS": "1500"}
    service = place.service(**fast)
    deaf = place.worker(works=False)
    build = place.post(1)[0]
    deaf.assigned(build)
    service.stop(signal.SIGKILL)
    deaf.deafen()
    place.service(**fast)
    place.worker()
    place.all_ended([build])
    assert "accept_timeout" in [attempt["end_reason"] for attempt in place.gateway.attempts(build)]
    place.check([build])


def test_leases_start_afresh_with_a_new_owner(place):
    service = place.service(KILN_LEASE_MS="4000")
    silent = place.worker(works=False)
    build = place.post(1)[0]
    silent.accept(silent.assigned(build))
    place.gateway.wait(build, "running")
    silent.freeze()
    service.stop(signal.SIGKILL)
    time.sleep(4)  # longer than the lease, while nobody could have heard of the worker
    began = time.monotonic()
    place.service(KILN_LEASE_MS="4000")
    place.worker()
    place.all_ended([build])
    assert time.monotonic() - began >= 4
    place.check([build])


def test_a_new_owner_minds_no_worker_that_is_not_there_and_holds_nothing(place):
    gateway = place.gateway
    for state in ("lost", "active"):
        gateway.sql(
            "insert into workers (id, partition, incarnation, nonce, slots, read_offset, hello_at, heartbeat_at, state)"
            " select gen_random_uuid(), p, 1, gen_random_uuid(), 1, 0, now(), now(), %s from generate_series(0, 11) as p",
            state,
        )
    service = place.service(KILN_LEASE_MS="1000")
    wait_for(lambda: gateway.sql("select count(*) from workers where state = 'active'") == [(0,)], "those that were there to be lost")
    assert len([line for line in service.lines() if line["msg"] == "worker not heard of any more"]) == 12


def test_an_attempt_that_a_worker_got_after_it_was_lost_and_forgotten_is_lost_too(place):
    """As by an instance that did not know of its loss, and was killed when it had committed."""
    gateway = place.gateway
    service = place.service(KILN_LEASE_MS="1000")
    silent = place.worker(works=False)
    wait_for(lambda: gateway.sql("select state from workers where id = %s", silent.id) == [("active",)], "the worker")
    silent.freeze()
    wait_for(lambda: [line for line in service.lines() if line["msg"] == "worker not heard of any more"], "the worker to be lost")
    build = gateway.post(gateway.project())
    gateway.wait_phase(build, "queued")
    with psycopg.connect(place.database.url) as other:
        other.execute("delete from build_queue where build_id = %s", (build,))
        other.execute(
            "insert into build_attempts (build_id, attempt, lease_id, worker_id, incarnation, nonce, mode, state, held)"
            " select %s, 1, gen_random_uuid(), id, incarnation, nonce, 'run', 'assigned', true from workers where id = %s",
            (build, silent.id),
        )
        other.execute("update build_audit b set phase = 'assigned', attempt = 1, lease_id = a.lease_id, worker_id = a.worker_id from build_attempts a where b.id = a.build_id")
    wait_for(lambda: gateway.first_attempt(build, "end_reason") == "lease_expired", "the attempt to be lost")
    place.worker()
    place.all_ended([build])
    place.check([build])


def test_an_attempt_that_a_restore_makes_at_a_worker_that_is_lost_by_then_is_lost_too(place):
    gateway = place.gateway
    service = place.service(KILN_LEASE_MS="60000")
    silent = place.worker(works=False)
    request = gateway.request(gateway.project())
    build = request["build_id"]
    gateway.send(request)
    silent.accept(silent.assigned(build))
    gateway.wait(build, "running")
    wait_for(lambda: gateway.sql("select count(*) from outbox") == [(0,)], "the outbox to be empty")
    silent.freeze()
    service.stop(signal.SIGKILL)
    stored_trail(gateway, build)
    last = id_where(lambda number: number != partition_of(build.encode(), 12))
    catches_up_to(gateway, last)
    place.service(KILN_LEASE_MS="1000")
    wait_for(lambda: gateway.sql("select state from workers where id = %s", silent.id) == [("lost",)], "the worker to be lost")
    gateway.send(request)
    gateway.wait(build, "running")
    gateway.post(gateway.project(), build=last)
    wait_for(lambda: gateway.first_attempt(build, "end_reason") == "lease_expired", "the attempt to be lost")
    place.worker()
    place.all_ended([build, last])


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
    """One instance minds the worker's lease; the other has its result and cannot apply it."""
    _, executor, build, assign = in_halves(place, KILN_LEASE_MS="3000")
    executor.accept(assign)
    place.gateway.wait(build, "running")
    with psycopg.connect(place.database.url) as other:
        hold_results(other, build)
        executor.finish(assign)
        executor.freeze()
        stays(lambda: place.gateway.row(build)["status"] == "running", "the attempt", 6)  # twice its lease
    place.gateway.wait(build, "completed")
    assert [attempt["state"] for attempt in place.gateway.attempts(build)] == ["finished"]
    place.check([build])


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


HOLD = "select pg_advisory_xact_lock(4711)"  # what make_held has made wait, until the end of this transaction
HELD = "pid in (select pid from pg_locks where locktype = 'advisory' and objid = 4711 and not granted)"


def make_held(place, change):
    """Before such a change a session waits for who has the lock of HOLD."""
    place.database.sql(f"create function hold() returns trigger language plpgsql as $$ begin perform pg_advisory_xact_lock(4711); return new; end $$; create trigger hold before {change} execute function hold()")


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
    make_held(place, "update on build_queue for each row when (new.parked)")
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
    make_held(place, "insert on build_events for each row when (new.type = 'build.started')")
    with psycopg.connect(place.database.url) as worker, psycopg.connect(place.database.url) as starts, psycopg.connect(place.database.url) as results:
        starts.execute(HOLD)
        hold_results(results, build)
        executor.phase({**assign, "lease_id": new_id()}, "preparing")  # stale: something that is to be applied before the lease may end
        looks = set()  # the first is before the ends are read
        reads = "query like '%%next_offset FROM consumer_offsets%%'"
        wait_for(lambda: looks.update(sessions(place, reads, "pid, query_start")) or len(looks) > 1, "the end of the lease to wait for it", poll=0.01)
        worker.execute("select from workers where id = %s for update", (executor.id,))
        executor.accept(assign)
        results.rollback()
        [(holder,)] = wait_for(lambda: sessions(place, HELD), "the accept to be applied")
        worker.rollback()
        wait_for(lambda: sessions(place, f"{holder} = any(pg_blocking_pids(pid))"), "the end of the lease to wait for the build")
        executor.held[assign["lease_id"]] = token
        starts.rollback()
    executor.finish(assign)
    wait_for(lambda: place.gateway.first_attempt(build, "state") in ("finished", "lost"), "the attempt to end")
    assert [attempt["state"] for attempt in place.gateway.attempts(build)] == ["finished"]
    assert not [line for line in services[0].lines() + services[1].lines() if line["msg"] == "attempts not held any more"]
