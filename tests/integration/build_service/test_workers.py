"""Workers, their leases and incarnations (docs/protocol.md sections 4 and 5). Leases are 3 s here."""
import uuid

import pytest

from kiln_testing.kafka_topics import refusing_writes
from kiln_testing.records import partition_of
from kiln_testing.waiting import stays, wait_for
from playing import RESULTS, WORKER_EVENTS, result

SETTINGS = {"KILN_LEASE_MS": "3000", "KILN_WORKER_FRESH_MS": "2000"}


def running(gateway, executor, **spec):
    build = gateway.post(gateway.project(), **spec)
    assign = executor.assigned(build)
    executor.accept(assign)
    gateway.wait(build, "running")
    return build, assign


def takes_over(worker, before, reported=None, **options):
    """The next incarnation, which is ready to greet before the lease of the one before can run out."""
    after = worker(worker_id=before.id, counter=2, hello=False, heartbeat_s=0, **options)
    if reported:
        after.reported[reported["lease_id"]] = reported
    before.quieten()
    after.hello()
    after.heartbeat_s = 0.5
    return after


def lost(gateway, build):
    return [event["data"]["reason"] for event in gateway.trail(build) if event["type"] == "build.attempt_lost"]


def worker_state(database, executor):
    rows = database.sql("select state from workers where id = %s", executor.id)
    return rows[0][0] if rows else None


def test_a_silent_worker_loses_its_builds_and_another_takes_them(gateway, worker, service):
    silent = worker()
    build, _ = running(gateway, silent)
    expired = service.metric("kiln_leases_expired_total")
    silent.freeze()
    other = worker(works=True)
    row = gateway.wait(build)
    assert row["status"] == "completed" and row["attempt"] == 2 and row["worker_id"] == other.id and row["attempts_used"] == 1 and row["losses"] == 1
    assert lost(gateway, build) == ["lease_expired"]
    wait_for(lambda: service.metric("kiln_leases_expired_total") >= expired + 1, "the lease to be counted")
    assert service.metric("kiln_leases_expired_total") == expired + 1


def undecided(service, topic, partition):
    """How often it has not learned an end by which to decide."""
    told = [line for line in service.lines() if line["msg"] == "the end of a partition is not known"]
    return len([line for line in told if (line["topic"], int(line["partition"])) == (topic, partition)])


@pytest.mark.parametrize("topic", (RESULTS, WORKER_EVENTS))
def test_the_word_of_a_leader_that_acknowledges_nothing_ends_no_lease(topic, gateway, worker, service, shared_database):
    """It tells an end as it always did. A broker that has lost its partitions without knowing does the same, and the worker's last word may lie behind that."""
    silent = worker()
    build, _ = running(gateway, silent)
    partition = partition_of((build if topic == RESULTS else silent.id).encode(), 12)
    with refusing_writes(shared_database.system.brokers, topic):
        wait_for(lambda: gateway.sender.is_refused(topic, partition), "the broker to apply the setting")
        silent.freeze()
        before = undecided(service, topic, partition)
        wait_for(lambda: undecided(service, topic, partition) > before or lost(gateway, build), "its lease to be over")
        assert lost(gateway, build) == []
    wait_for(lambda: lost(gateway, build) == ["lease_expired"], "the loss")


def test_a_worker_that_comes_back_is_told_to_abandon_what_it_lost(gateway, worker, shared_database):
    silent = worker()
    build, assign = running(gateway, silent)
    silent.freeze()
    wait_for(lambda: worker_state(shared_database, silent) == "lost", "the worker to be lost")
    wait_for(lambda: lost(gateway, build) == ["lease_expired"], "the attempt to be lost")
    silent.hearing.set()
    silent.heartbeat_s = 0.3
    silent.wait_command("attempt.abandon", build)
    wait_for(lambda: worker_state(shared_database, silent) == "active", "the worker to be active")
    again = silent.assigned(build, attempt=2)
    assert again["lease_id"] != assign["lease_id"] and again["earlier"] == [{"attempt": 1, "commit_sha": None}]


def test_heartbeats_keep_a_lease_alive(gateway, worker):
    executor = worker(heartbeat_s=0.5)
    build, assign = running(gateway, executor)
    stays(lambda: gateway.row(build)["status"] == "running", "the lease", 5)
    executor.finish(assign)
    gateway.wait(build, "completed")


ILLEGIBLE = {
    "no JSON": {"value": b"{"},
    "of nobody": {"worker_id": None},
    "of no attempt": {"lease_id": "x"},
    "of a later version": {"headers": {"ce_specversion": "2.0"}},
    "of an unknown type": {"type": "attempt.ended"},
}


def test_an_attempt_whose_result_kafka_has_and_nobody_can_read_ends_as_failed_and_is_released(gateway, worker):
    executor = worker(slots=len(ILLEGIBLE) + 1)
    builds = {name: running(gateway, executor) for name in ILLEGIBLE}
    late, its = running(gateway, executor)
    with executor.changed:  # Kafka does not have its result yet
        executor.reported[its["lease_id"]] = executor.held.pop(its["lease_id"])
    executor.heartbeat()
    for name, changes in ILLEGIBLE.items():
        executor.finish_illegibly(builds[name][1], **changes)
    for build, _ in builds.values():
        row = gateway.wait(build)
        assert row["status"] == "failed" and row["result"]["error"] == {"class": "internal", "message": "the worker's result cannot be read"}
        assert executor.wait_command("attempt.released", build)["last"] is True
        assert gateway.first_attempt(build, "state") == "finished" and gateway.types(build)[-1] == "build.failed"
    assert gateway.row(late)["status"] == "running"
    executor.finish(its)
    assert gateway.wait(late)["status"] == "completed"


def test_a_push_whose_result_nobody_can_read_is_looked_for(gateway, worker):
    executor = worker()
    build, assign = running(gateway, executor)
    executor.phase(assign, "pushing", commit_sha="b" * 40)
    executor.finish_illegibly(assign, value=b"{")
    settle = executor.assigned(build, attempt=2)
    assert settle["mode"] == "settle" and settle["earlier"] == [{"attempt": 1, "commit_sha": "b" * 40}]
    executor.finish_illegibly(settle, value=b"{")
    executor.run(executor.assigned(build, attempt=3))
    assert gateway.wait(build)["status"] == "completed"


def test_a_heartbeat_renews_only_what_it_lists(gateway, worker):
    executor = worker()
    forgotten, assign = running(gateway, executor)
    kept, _ = running(gateway, executor)
    with executor.changed:
        del executor.held[assign["lease_id"]]
    wait_for(lambda: lost(gateway, forgotten) == ["not_held"], "the forgotten attempt to be lost")
    assert gateway.row(kept)["status"] == "running" and lost(gateway, kept) == []


def test_a_new_incarnation_frees_what_it_does_not_list(gateway, worker):
    before = worker()
    build, assign = running(gateway, before)
    after = takes_over(worker, before)
    again = after.assigned(build)
    assert again["attempt"] == 2 and again["incarnation"]["counter"] == 2
    assert lost(gateway, build) == ["worker_restarted"]
    before.finish(assign)
    after.run(again)
    assert gateway.wait(build)["attempt"] == 2


def test_a_result_that_waits_to_be_released_survives_a_restart(gateway, worker):
    before = worker()
    build, assign = running(gateway, before)
    token = {name: assign[name] for name in ("build_id", "attempt", "lease_id")}
    after = takes_over(worker, before, reported=token)
    gateway.wait_applied(WORKER_EVENTS, after.id)
    assert lost(gateway, build) == []
    after.report(assign, "attempt.finished", outcome="completed", published=False, closed=False, retryable=False, result=result())
    assert gateway.wait(build)["status"] == "completed"
    released = after.wait_command("attempt.released", build)
    assert released["incarnation"]["counter"] == 2 and released["last"]


def test_several_attempts_lost_at_once_do_not_count_as_losses(gateway, worker):
    before = worker(slots=3)
    builds = [running(gateway, before)[0] for _ in range(3)]
    after = takes_over(worker, before, slots=3)
    for build in builds:
        after.assigned(build)
        row = gateway.row(build)
        assert row["losses"] == 0 and row["mass_losses"] == 1


def test_what_is_lost_in_two_transactions_is_lost_at_once(gateway, worker):
    """The last one is not the loss of a build that worker after worker dies of."""
    count = 257  # LOSSES_AT_ONCE, and one
    silent = worker(slots=count, labels=["many"])
    project = gateway.project()
    builds = [gateway.queue(project, labels=["many"]) for _ in range(count)]
    gateway.sender.flush()
    states = lambda: gateway.sql("select phase, mass_losses, losses, count(*) from build_audit where id = any(%s::uuid[]) group by 1, 2, 3", builds)  # noqa: E731
    for build in builds:
        silent.accept(silent.assigned(build))
    wait_for(lambda: states() == [("preparing", 0, 0, count)], "all attempts to be accepted")
    silent.freeze()
    wait_for(lambda: states() == [("queued", 1, 0, count)], "all attempts to be lost")


def test_an_earlier_incarnation_is_fenced(gateway, worker):
    current = worker(counter=5)
    build, _ = running(gateway, current)
    old = worker(worker_id=current.id, counter=4)
    fenced = old.wait_command("worker.fenced")
    assert fenced["incarnation"] == old.incarnation
    assert gateway.row(build)["status"] == "running" and lost(gateway, build) == []


def test_of_two_with_a_cloned_state_directory_the_first_wins(gateway, worker):
    first = worker(counter=3)
    build, _ = running(gateway, first)
    twin = worker(worker_id=first.id, counter=3)
    twin.wait_command("worker.fenced")
    assert all(command["type"] != "worker.fenced" for command in first.commands)
    assert gateway.row(build)["status"] == "running"


def test_a_repeated_hello_frees_nothing(gateway, worker):
    executor = worker()
    build, assign = running(gateway, executor)
    state = executor.state()
    executor.sender.send(WORKER_EVENTS, executor.id, "worker.hello", {**state, "held": [], "reported": []})
    executor.sender.flush()
    gateway.wait_applied(WORKER_EVENTS, executor.id)
    assert lost(gateway, build) == []
    executor.finish(assign)
    gateway.wait(build, "completed")


def test_a_draining_worker_gets_nothing_more_and_finishes_what_it_has(gateway, worker, shared_database):
    executor = worker()
    build, assign = running(gateway, executor)
    executor.sender.send("kiln.worker.events", executor.id, "worker.draining", {"worker_id": executor.id, "incarnation": executor.incarnation, "time": "2026-11-23T17:20:00.000000Z"})
    executor.sender.flush()
    wait_for(lambda: worker_state(shared_database, executor) == "draining", "the worker to drain")
    waiting = gateway.post(gateway.project())
    gateway.wait(waiting, "pending")
    stays(lambda: gateway.row(waiting)["phase"] == "queued", "the queue", 1)
    executor.finish(assign)
    gateway.wait(build, "completed")
    gateway.cancel(waiting)


def test_a_goodbye_frees_everything_at_once(gateway, worker, shared_database):
    executor = worker()
    build, _ = running(gateway, executor)
    executor.quieten()
    executor.bye()
    other = worker(works=True)
    row = gateway.wait(build)
    assert row["worker_id"] == other.id and lost(gateway, build) == ["worker_restarted"]
    executor.heartbeat()
    gateway.wait_applied(WORKER_EVENTS, executor.id)
    assert worker_state(shared_database, executor) == "gone"


def test_a_worker_not_heard_of_lately_gets_nothing(gateway, worker):
    quiet = worker(heartbeat_s=0)
    wait_for(lambda: gateway.sql("select now() - heartbeat_at > interval '2.1 s' from workers where id = %s", quiet.id) == [(True,)], "silence")
    build = gateway.post(gateway.project())
    gateway.wait(build, "pending")
    stays(lambda: gateway.row(build)["phase"] == "queued", "the queue", 0.5)
    quiet.heartbeat()
    quiet.assigned(build)


def test_a_token_nobody_knows_is_abandoned(worker):
    executor = worker()
    token = {"build_id": str(uuid.uuid4()), "attempt": 1, "lease_id": str(uuid.uuid4())}
    executor.held[token["lease_id"]] = token
    executor.wait_command("attempt.abandon", token["build_id"])


def test_a_worker_that_is_to_drain_gets_nothing_more_and_is_told_until_it_says_so(gateway, worker, shared_database):
    executor = worker(slots=2, labels=["drained"])
    build, assign = running(gateway, executor, labels=["drained"])
    gateway.drain(executor)
    wait_for(lambda: worker_state(shared_database, executor) == "draining", "the worker to drain")
    waiting = gateway.post(gateway.project(), labels=["drained"])
    gateway.wait(waiting, "pending")
    told = lambda: len([command for command in executor.commands if command["type"] == "worker.drain"])  # noqa: E731
    wait_for(lambda: told() >= 3, "the command to be repeated by heartbeats")
    executor.draining = True
    executor.heartbeat()
    executor.finish(assign)
    gateway.wait(build, "completed")
    assert gateway.row(waiting)["phase"] == "queued"
    executor.quieten()
    executor.bye()
    wait_for(lambda: worker_state(shared_database, executor) == "gone", "the good-bye")
    after = worker(worker_id=executor.id, counter=2, labels=["drained"], works=True)
    assert gateway.wait(waiting)["status"] == "completed" and worker_state(shared_database, after) == "active"


def test_the_wish_to_drain_outlives_a_lost_worker_but_is_not_for_another_incarnation(gateway, worker, shared_database):
    silent = worker()
    wait_for(lambda: worker_state(shared_database, silent) == "active", "the worker to be known")
    silent.freeze()
    wait_for(lambda: worker_state(shared_database, silent) == "lost", "the worker to be lost")
    gateway.drain(silent)
    silent.hearing.set()
    silent.heartbeat_s = 0.3
    silent.wait_command("worker.drain")
    wait_for(lambda: worker_state(shared_database, silent) == "draining", "the worker to drain")
    silent.heartbeat_s = 0
    after = worker(worker_id=silent.id, counter=2)
    wait_for(lambda: worker_state(shared_database, after) == "active", "the new incarnation")
    gateway.drain(silent)
    build, assign = running(gateway, after)
    after.finish(assign)
    gateway.wait(build, "completed")
    assert worker_state(shared_database, after) == "active"
