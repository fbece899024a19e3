"""From request to terminal event, with the real topics."""
import hashlib

import confluent_kafka
import pytest
import rfc8785

from kiln_testing.waiting import wait_for
from playing import EVENTS, TRACEPARENT


def test_a_build_passes_through_all_phases(gateway, worker):
    executor = worker()
    build = gateway.post(gateway.project())
    assign = executor.assigned(build)
    assert assign["mode"] == "run" and assign["attempt"] == 1 and assign["earlier"] == [] and assign["settle_end"] is None
    assert assign["spec"]["prompt"] == "do it" and assign["git"]["credential"] is None
    assert assign["headers"]["traceparent"] == TRACEPARENT
    gateway.wait_phase(build, "assigned")
    executor.accept(assign)
    gateway.wait(build, "running")
    executor.phase(assign, "agent", base_sha="a" * 40, branch="main")
    executor.phase(assign, "committing")
    executor.phase(assign, "pushing", commit_sha="b" * 40)
    gateway.wait_phase(build, "pushing")
    executor.finish(assign, published=True, commit_sha="b" * 40)
    row = gateway.wait(build)
    assert row["status"] == "completed" and row["phase"] is None and row["result"]["commit_sha"] == "b" * 40
    assert row["worker_id"] == executor.id and row["attempts_used"] == 1
    released = executor.wait_command("attempt.released", build)
    assert released["last"] is True and released["lease_id"] == assign["lease_id"]
    assert gateway.types(build) == ["build.pending", "build.phase", "build.started", "build.phase", "build.phase", "build.phase", "build.completed"]
    phases = [event["data"]["phase"] for event in gateway.trail(build)]
    assert phases == ["queued", "assigned", "preparing", "agent", "committing", "pushing", None]


def test_the_trail_is_canonical_hashed_and_published(gateway, worker, shared_database):
    worker(works=True)
    build = gateway.post(gateway.project())
    gateway.wait(build, "completed")
    trail = gateway.trail(build)
    previous = bytes(32)
    for number, event in enumerate(trail, 1):
        assert event["sequence"] == number == event["data"]["sequence"]
        assert event["body"] == rfc8785.dumps(event["data"])
        previous = hashlib.sha256(previous + event["body"]).digest()
        assert event["hash"] == previous
        assert event["data"]["metadata"] == {"ticket": "K-1", "\u00e4": "\u20ac\n"}
    consumer = confluent_kafka.Consumer({"bootstrap.servers": shared_database.system.brokers, "group.id": build, "auto.offset.reset": "earliest"})
    consumer.subscribe([EVENTS])
    seen = {}

    def read():
        for message in consumer.consume(1000, 0.2):
            if not message.error() and message.key().decode() == build:
                headers = {name: text.decode() for name, text in message.headers()}
                seen.setdefault(int(headers["ce_sequence"]), (message.value(), headers))
        return len(seen) == len(trail)

    wait_for(read, f"{len(trail)} events on Kafka")
    consumer.close()
    for event in trail:
        value, headers = seen[event["sequence"]]
        assert value == event["body"] and headers["ce_hash"] == event["hash"].hex() and headers["ce_type"] == event["type"]
        assert headers["ce_id"] == f"build/{build}/{event['sequence']}" and headers["ce_source"] == "/kiln/build-service"
        assert headers["traceparent"] == TRACEPARENT
    wait_for(lambda: shared_database.sql("select count(*) from outbox where %s = any(build_ids)", build) == [(0,)], "the outbox to name it no more")


def test_a_build_waits_for_a_worker(gateway, worker):
    build = gateway.post(gateway.project())
    gateway.wait_phase(build, "queued")
    worker(works=True)
    assert gateway.wait(build)["status"] == "completed"


def test_a_repeated_request_changes_nothing(gateway, worker):
    data = gateway.request(gateway.project())
    gateway.send(data)
    gateway.wait_phase(data["build_id"], "queued")
    gateway.send(data)
    worker(works=True)
    gateway.wait(data["build_id"], "completed")
    gateway.send(data)
    other = gateway.post(gateway.project())
    gateway.wait(other, "completed")
    assert gateway.types(data["build_id"]).count("build.pending") == 1


@pytest.mark.parametrize("outcome, status", [("completed", "completed"), ("failed", "failed")])
def test_an_attempt_without_commit_ends_the_build(gateway, worker, outcome, status):
    executor = worker()
    build = gateway.post(gateway.project())
    assign = executor.assigned(build)
    executor.accept(assign)
    executor.finish(assign, outcome)
    row = gateway.wait(build)
    assert row["status"] == status and row["result"]["commit_sha"] is None
    assert row["error_class"] == (None if status == "completed" else "agent_failed")


def test_many_builds(gateway, worker):
    project = gateway.project()
    worker(slots=8, works=True)
    worker(slots=8, works=True)
    builds = [gateway.queue(project) for _ in range(300)]
    gateway.sender.flush()
    for build in builds:
        assert gateway.wait(build, deadline=60)["status"] == "completed"
        # More events only when a worker was too slow to accept in time; it then also finishes what another one has done.
        more = ("build.phase", "build.started", "build.attempt_lost", "build.late_commit")
        assert [kind for kind in gateway.types(build) if kind not in more] == ["build.pending", "build.completed"]
