"""Records that nobody can read: each topic goes on behind them, and they are kept."""

import json
import uuid

import confluent_kafka
import pytest
from kiln_testing import cloudevents, records
from kiln_testing.streams import EventStream
from kiln_testing.waiting import wait_for

NOW = "2025-11-23T12:00:00.000000Z"
CONSUMED = [
    "kiln.build.requests",
    "kiln.build.assignments",
    "kiln.build.results",
    "kiln.worker.events",
    "kiln.build.logs",
    "kiln.build.events",
    "kiln.project.events",
]
# Those that are read into Postgres: what is unreadable there becomes a dead letter.
KEPT = ["kiln.build.requests", "kiln.build.results", "kiln.worker.events", "kiln.build.logs", "kiln.build.events"]


def headers(type, **changes):
    return cloudevents.headers(type, "/kiln/test", str(uuid.uuid4()), **{"ce_time": NOW, records.RUBBISH: "1"} | changes)


def send(system, topic, value, head, key=None, partition=None):
    """Sends one record; its (partition, offset)."""
    producer = confluent_kafka.Producer(
        {"bootstrap.servers": system.brokers, "partitioner": "murmur2_random", "message.max.bytes": 8 << 20}
    )
    done = []
    arguments = {} if partition is None else {"partition": partition}
    producer.produce(topic, value, key=key, headers=head, on_delivery=lambda error, message: done.append((error, message)), **arguments)
    producer.flush(60)
    (error, message), *_ = done
    assert error is None, error
    return message.partition(), message.offset()


def letter(kiln, topic, place):
    """The dead letter of a record, once it is there."""
    wanted = {"kiln_topic": topic, "kiln_partition": str(place[0]), "kiln_offset": str(place[1])}
    return kiln.tap.wait(
        lambda: next((r for r in kiln.tap.records if r.topic == records.DEAD_LETTERS and wanted.items() <= r.headers.items()), None),
        f"a dead letter for {topic} {place}",
    )


def test_system_that_is_poisoned_below_works_before(own_kiln):
    project, _ = own_kiln.seeded()
    assert own_kiln.wait_end(own_kiln.run(project, "true"))["status"] == "completed"


RUBBISH = {
    "no json": b"\x00\xff not json",
    "empty": b"",
    "tombstone": None,
    "no object": b"[]",
    "empty object": b"{}",
    "wrong types": json.dumps({"build_id": 1, "worker_id": [], "attempt": "x"}).encode(),
    "deep": b"[" * 5000,
    "two of a key": b'{"build_id":"0198c1de-7a3b-7c4d-8e5f-0123456789ab","build_id":"0198c1de-7a3b-7c4d-8e5f-0123456789ac"}',
}


def is_kept(kiln, topic, place):
    statement = "select reason from dead_letters where topic = %s and partition = %s and record_offset = %s"
    return kiln.system.sql(statement, topic, *place)


@pytest.mark.parametrize("topic", KEPT)
def test_unreadable_records_become_dead_letters_as_they_were(own_kiln, topic):
    type = records.TOPICS[topic][1][0] if topic != "kiln.build.events" else "build.completed"
    # Not a legible id: a request with one would become a build.
    sent = [(value, f"rubbish-{uuid.uuid4()}", headers(type)) for value in RUBBISH.values()]
    places = [send(own_kiln.system, topic, value, head, key=key) for value, key, head in sent]
    for (value, key, _), place in zip(sent, places):
        found = letter(own_kiln, topic, place)
        assert found.value == (value or b"") and found.is_tombstone == (value is None) and found.key == key
        assert found.headers["kiln_reason"] and found.headers["ce_type"] == type
        assert is_kept(own_kiln, topic, place)


@pytest.mark.parametrize("topic", CONSUMED)
def test_strange_headers_and_keys_stop_nobody(own_kiln, topic):
    type = records.TOPICS[topic][1][0]
    for head in (
        [],
        [(records.RUBBISH, b"1"), ("ce_type", b"\xff\xfe")],
        headers(type, ce_id=None),
        headers(type, ce_specversion="0.3"),
        headers(type, ce_id="x" * 100_000),
        headers(type, **{"content-type": "application/cloudevents+json"}),
        headers("nobody.knows"),
    ):
        if not head:
            head = [(records.RUBBISH, b"1")]
        for key in (None, b"", b"\xff\xfe", b"x" * 10_000):
            send(own_kiln.system, topic, b"{}", head, key=key)
    project, _ = own_kiln.seeded()
    for _ in range(4):
        assert own_kiln.wait_end(own_kiln.run(project, "true"))["status"] == "completed"


def test_an_unknown_type_is_tolerated_without_a_dead_letter(own_kiln):
    topic = "kiln.build.requests"
    unknown = send(own_kiln.system, topic, b'{"build_id":"x"}', headers("build.sung"), partition=3)
    broken = send(own_kiln.system, topic, b"broken", headers("build.requested"), partition=3)
    letter(own_kiln, topic, broken)
    wanted = {"kiln_topic": topic, "kiln_partition": "3", "kiln_offset": str(unknown[1])}
    assert not [r for r in own_kiln.tap.records if r.topic == records.DEAD_LETTERS and wanted.items() <= r.headers.items()]


def worker_of(kiln):
    """What the only executor has said of itself last: whom commands are for."""

    def said():
        return next((r.data for r in reversed(kiln.tap.records) if r.type == "worker.heartbeat" and records.RUBBISH not in r.headers), None)

    return kiln.tap.wait(said, "a heartbeat")


TOKEN = {"build_id": str(uuid.uuid4()), "attempt": 1, "lease_id": str(uuid.uuid4())}
# Of commands for the very incarnation that runs: what is wrong with the rest.
HALF_BROKEN = {
    "attempt.assign": [{}, {"build_id": 1, "attempt": "x", "lease_id": []}, TOKEN, TOKEN | {"mode": 7, "project": [], "spec": "x", "git": None}],
    "attempt.cancel": [{}, {"build_id": 1, "attempt": "x", "lease_id": []}, TOKEN | {"attempt": -1}],
    "worker.fenced": [{"incarnation": None}, {"incarnation": "x"}, {"incarnation": {"counter": "x", "nonce": 1}}],
}


@pytest.mark.parametrize("type", HALF_BROKEN)
def test_a_worker_goes_on_behind_commands_that_nobody_can_read(own_kiln, type):
    worker = worker_of(own_kiln)
    addressee = {name: worker[name] for name in ("worker_id", "incarnation")}
    bodies = [*RUBBISH.values(), *(json.dumps(addressee | broken).encode() for broken in HALF_BROKEN[type])]
    topic, key = "kiln.build.assignments", worker["worker_id"]
    places = [send(own_kiln.system, topic, body, headers(type), key=key) for body in bodies]
    # They came where it reads, it has read them, and it is the same that goes on.
    assert {partition for partition, _ in places} == {records.partition_of(key.encode(), own_kiln.tap.partitions[topic])}
    wait_for(lambda: worker_of(own_kiln)["read_offset"] > places[-1][1], "the worker to have read them")
    project, _ = own_kiln.seeded()
    build = own_kiln.wait_end(own_kiln.run(project, "true"))
    assert build["status"] == "completed" and build["worker_id"] == key
    assert worker_of(own_kiln)["incarnation"] == worker["incarnation"]


def rejected(kiln, task):
    return kiln.system.sql("select status, error_class from build_audit where id = %s", task) == [("failed", "rejected")]


@pytest.mark.parametrize("spec", [{}, None, "x", {"prompt": 1}, {"prompt": "x", "agent": {"provider": "nobody"}}], ids=str)
def test_a_request_with_a_legible_id_always_becomes_a_build(own_kiln, spec):
    task = str(uuid.uuid4())
    data = {"build_id": task, "project": {"id": str(uuid.uuid4()), "name": "ghost"}, "spec": spec, "requested_at": NOW}
    send(own_kiln.system, "kiln.build.requests", json.dumps(data).encode(), headers("build.requested", ce_subject=task), key=task)
    wait_for(lambda: rejected(own_kiln, task), "the build to be rejected")


def test_a_request_whose_only_legible_part_is_its_key_becomes_a_build(own_kiln):
    tasks = [str(uuid.uuid4()) for _ in RUBBISH]
    for task, value in zip(tasks, RUBBISH.values()):
        send(own_kiln.system, "kiln.build.requests", value, headers("build.requested", ce_subject=task), key=task)
    for task in tasks:
        wait_for(lambda: rejected(own_kiln, task), "the build to be rejected")


def test_a_request_that_comes_twice_is_one_build(own_kiln):
    project, _ = own_kiln.seeded()
    task = own_kiln.run(project, "true")
    build = own_kiln.wait_end(task)
    request = own_kiln.tap.of(task, type="build.requested")[0]
    send(own_kiln.system, request.topic, request.value, headers("build.requested", ce_subject=task), key=task)
    after = own_kiln.run(project, "true")
    own_kiln.wait_end(after)
    assert own_kiln.build(task) == build


def test_results_with_a_wrong_token_change_nothing(own_kiln):
    project, _ = own_kiln.seeded()
    task = own_kiln.run(project, "sleep 600")
    own_kiln.wait_phase(task, "agent")
    real = own_kiln.tap.wait_type(task, "attempt.accepted")[0].data
    result = {
        "success": True,
        "output": None,
        "error": None,
        "commit_sha": None,
        "branch": None,
        "files_changed": [],
        "duration_ms": 1,
        "artifacts": [],
        "agent": None,
        "pipelines": [],
    }
    finished = {"outcome": "completed", "published": False, "closed": False, "retryable": False, "result": result, "time": NOW}
    for change in (
        {"lease_id": str(uuid.uuid4())},
        {"attempt": real["attempt"] + 1},
        {"attempt": real["attempt"] + 1, "lease_id": str(uuid.uuid4())},
    ):
        data = {**real, **finished, **change}
        send(own_kiln.system, "kiln.build.results", json.dumps(data).encode(), headers("attempt.finished", ce_subject=task), key=task)
    # Whatever comes later in the same partition is applied after them.
    own_kiln.cancel(task)
    assert own_kiln.wait_end(task)["status"] == "cancelled"


def event_headers(type, key, sequence):
    """As good as those of the event that comes next."""
    word = "project" if type.startswith("project.") else "build"
    chained = {"ce_hash": "0" * 64} if word == "build" else {}
    return headers(type, ce_id=f"{word}/{key}/{sequence}", ce_subject=key, ce_sequence=f"{sequence:010}", **chained)


def shown(events, word):
    return [(event.type, event.json["sequence"]) for event in events if event.type.startswith(word)]


def test_an_event_of_which_only_the_value_is_broken_is_shown_by_no_stream(own_kiln):
    project = own_kiln.project()
    task = own_kiln.waiting(project)
    own_kiln.wait_phase(task, "queued")
    path, number = f"/projects/{project['id']}", len(own_kiln.trail(task))
    with (
        EventStream(own_kiln.api, "/events") as feed,
        EventStream(own_kiln.api, f"{path}/events") as of_project,
        EventStream(own_kiln.api, f"/builds/{task}/events") as of_build,
        EventStream(own_kiln.api, f"/builds/{task}/logs") as of_log,
    ):
        wait_for(lambda: feed.last_id and of_project.last_id, "the feeds' places")
        of_build.wait(number)
        for value in RUBBISH.values():
            send(own_kiln.system, "kiln.build.events", value, event_headers("build.completed", task, number + 1), key=task)
            send(own_kiln.system, "kiln.project.events", value, event_headers("project.changed", project["id"], 2), key=project["id"])
            send(own_kiln.system, "kiln.build.logs", value, headers("build.log", ce_subject=task), key=task)
        # What comes behind them in their partitions is shown, and nothing else.
        own_kiln.api.patch(path, {"description": "new"}, headers={"If-Match": own_kiln.etag(path)}, expect=200)
        own_kiln.cancel(task)
        for stream in (feed, of_project):
            stream.wait_type("project.changed")
            stream.wait_type("build.cancelled")
        of_build.wait_end()
        of_log.wait_end()
    trail = [(event["type"], event["sequence"]) for event in own_kiln.trail(task)]
    assert trail[number:] == [("build.cancelled", number + 1)]
    assert shown(of_build.events, "build.") == trail and of_log.events == []
    for stream in (feed, of_project):
        assert shown(stream.events, "build.") == trail[number:]
        assert shown(stream.events, "project.") == [("project.changed", 2)]


def test_after_all_of_it_everybody_is_alive_and_ready(own_kiln):
    wait_for(own_kiln.system.is_ready, "everybody to be ready")
    project, _ = own_kiln.seeded()
    inbox = own_kiln.receiver.inbox()
    assert own_kiln.wait_end(own_kiln.run(project, "true", callback_url=inbox.url))["status"] == "completed"
    inbox.wait(1)
