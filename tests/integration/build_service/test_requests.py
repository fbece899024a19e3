"""What becomes of requests that cannot be run, and of records that are no requests."""
import json
import uuid

import pytest

from kiln_testing.records import partition_of
from kiln_testing.waiting import wait_for
from playing import REQUESTS, RESULTS, WORKER_EVENTS, new_id


def rejected(gateway, build):
    row = gateway.wait(build)
    assert row["status"] == "failed" and row["error_class"] == "rejected"
    assert gateway.types(build) == ["build.pending", "build.failed"]
    result = row["result"]
    assert result["success"] is False and result["error"]["class"] == "rejected" and result["files_changed"] == []
    return result["error"]["message"]


def test_an_unknown_project_is_a_rejected_build(gateway):
    assert "does not exist" in rejected(gateway, gateway.post({"id": str(uuid.uuid4()), "name": "ghost"}))


def test_a_rejected_build_is_counted_once_as_one_that_failed(gateway, service):
    ends = 'kiln_builds_finished_total{outcome="failed"}'
    [(stored,)] = gateway.sql("select count(*) from build_audit where error_class = 'rejected'")
    wait_for(lambda: service.metric("kiln_builds_rejected_total") == stored, "those before to be counted, which comes after the commit")
    before = service.metric(ends), service.metric("kiln_builds_rejected_total")
    rejected(gateway, gateway.post({"id": str(uuid.uuid4()), "name": "ghost"}))
    wait_for(lambda: service.metric("kiln_builds_rejected_total") > before[1], "the batch to be counted")
    wait_for(lambda: service.metric(ends) > before[0], "the end to be counted")
    assert service.metric(ends) == before[0] + 1 and service.metric("kiln_builds_rejected_total") == before[1] + 1


def test_a_deleted_project_is_a_rejected_build(gateway, shared_database):
    project = gateway.project()
    shared_database.sql("update projects set deleted_at = now() where id = %s", project["id"])
    assert "deleted" in rejected(gateway, gateway.post(project))


@pytest.mark.parametrize(
    "change",
    [
        lambda data: data["spec"].pop("prompt"),
        lambda data: data["spec"].update(priority="high"),
        lambda data: data["spec"].update(labels=["a,b"]),
        lambda data: data["spec"].update(template="x"),
        lambda data: data["spec"].update(template="x", branch="main"),
        lambda data: data["spec"]["agent"].update(provider="nobody"),
        lambda data: data["spec"].update(metadata={"n": 1}),
        lambda data: data.update(spec=7),
        lambda data: data.update(git=None),
        lambda data: data.update(project=None),
        lambda data: data.update(requested_at="yesterday"),
    ],
)
def test_an_unusable_request_with_a_legible_id_is_a_rejected_build(gateway, change):
    data = gateway.request(gateway.project())
    change(data)
    gateway.send(data)
    assert "not valid" in rejected(gateway, data["build_id"])


@pytest.mark.parametrize("value", [b"{", b"", b"[]", b'{"build_id": 7}', b"\xff\xfe"])
def test_an_illegible_request_whose_key_is_an_id_is_a_rejected_build(gateway, value):
    build = new_id()
    gateway.sender.send(REQUESTS, build, "build.requested", None, value=value)
    gateway.sender.flush()
    rejected(gateway, build)


def test_a_request_that_names_no_build_is_a_dead_letter_and_the_next_one_is_applied(gateway, shared_database):
    value = uuid.uuid4().hex.encode()
    gateway.sender.send(REQUESTS, "nobody", "build.requested", None, value=value)
    gateway.sender.flush()
    wait_for(lambda: shared_database.sql("select count(*) from dead_letters where value = %s", value) == [(1,)], "the dead letter")
    build = gateway.post(gateway.project())
    gateway.wait(build, "pending")


def test_an_unknown_type_is_left_alone(gateway, shared_database):
    before = shared_database.sql("select count(*) from dead_letters")
    build = new_id()
    gateway.sender.send(REQUESTS, build, "build.invented", {"build_id": build})
    other = gateway.post(gateway.project())
    gateway.wait(other, "pending")
    assert gateway.row(build) is None and shared_database.sql("select count(*) from dead_letters") == before


def test_a_barrier_is_passed_over_in_every_topic(gateway, shared_database):
    before = shared_database.sql("select count(*) from dead_letters")
    key = new_id()
    for topic in (REQUESTS, RESULTS, WORKER_EVENTS):
        gateway.sender.send_barrier(topic, partition_of(key.encode(), 12))
    gateway.sender.flush()
    for topic in (REQUESTS, RESULTS, WORKER_EVENTS):
        gateway.wait_applied(topic, key)
    assert shared_database.sql("select count(*) from dead_letters") == before


def test_a_request_makes_its_provisional_project_permanent(gateway, shared_database):
    build = new_id()
    project = gateway.project(provisional_build=build)
    gateway.post(project, build=build, provisional=True)
    gateway.wait(build, "pending")
    assert shared_database.sql("select provisional_build from projects where id = %s", project["id"]) == [(None,)]


def test_everything_of_a_request_is_stored(gateway, shared_database):
    data = gateway.request(gateway.project(), priority=9, labels=["gpu", "amd"], metadata={"z": "1", "a": "\u20ac"})
    gateway.send(data)
    gateway.wait(data["build_id"], "pending")
    row = shared_database.sql(
        "select spec, git, callback_url, encode(request_hash, 'hex'), owner::text, metadata, class, priority, to_char(created_at at time zone 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS.US\"Z\"')"
        " from build_audit join build_requests on build_id = id where id = %s", data["build_id"],
    )[0]  # fmt: skip
    assert row == (data["spec"], data["git"], data["spec"]["callback_url"], data["request_hash"], gateway.token, '{"a":"\u20ac","z":"1"}', "command,amd,gpu", 9, data["requested_at"])


def test_a_large_request_passes(gateway, worker):
    executor = worker()
    build = gateway.post(gateway.project(), prompt="x" * 1000000)
    assert len(executor.assigned(build)["spec"]["prompt"]) == 1000000


def test_metadata_is_in_every_event_as_it_came(gateway):
    build = gateway.post(gateway.project(), metadata={"quote": '"\\', "nl": "\n\t\u0001", "emoji": "\U0001f600"})
    gateway.wait(build, "pending")
    event = gateway.trail(build)[0]
    assert event["data"]["metadata"] == {"quote": '"\\', "nl": "\n\t\u0001", "emoji": "\U0001f600"}
    assert json.loads(event["body"]) == event["data"]


def test_a_cancel_of_an_unknown_build_is_nothing(gateway):
    build = new_id()
    gateway.cancel(build)
    gateway.wait_applied(REQUESTS, build)
    assert gateway.row(build) is None


def test_a_repeated_request_of_a_pruned_build_is_nothing(gateway, shared_database):
    build = f"{uuid.uuid4().hex[:8]}-0000-8000-8000-{uuid.uuid4().hex[:12]}"  # as from an Idempotency-Key
    data = gateway.request(gateway.project(), build=build)
    shared_database.sql("insert into pruned_builds (build_id) values (%s)", build)
    gateway.sender.send(REQUESTS, build, "build.requested", data)
    gateway.sender.flush()
    gateway.wait_applied(REQUESTS, build)
    assert gateway.row(build) is None
    shared_database.sql("delete from pruned_builds where build_id = %s", build)
    gateway.send(data)
    gateway.wait(build, "pending")
