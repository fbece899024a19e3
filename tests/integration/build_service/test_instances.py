"""Several instances, killed, frozen and cut off from their database: nothing is lost and nothing doubled."""
import signal
import statistics
import time

import psycopg
import pytest

from instances import PARTITIONS
from kiln_testing.records import partition_of
from kiln_testing.services import held_threads
from kiln_testing.waiting import wait_for
from playing import catches_up_to, id_where, stored_trail

COUNT = 200


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
