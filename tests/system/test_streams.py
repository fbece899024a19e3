"""Event streams of a build: every event and every line once and in order, whenever a reader comes, leaves and comes again."""

import contextlib
import datetime
import hashlib
import json
import uuid

import pytest
from kiln_testing.access_log import gateway_ended
from kiln_testing.agents import Gate
from kiln_testing.client import Client, slug
from kiln_testing.revoking import REVOKED_WITHIN_S
from kiln_testing.streams import EventStream, lines
from kiln_testing.waiting import wait_for

SLOW = "for n in 1 2 3 4 5 6; do echo line $n; sleep 0.1; done"
LARGE = {f"key {n}": "x" * 4000 for n in range(15)}  # of each event
PAGE_BYTES = 256 << 10  # STREAM_PAGE_BYTES
TERMINAL = ("build.completed", "build.failed", "build.cancelled")


def keys(events):
    return [(int(event.id), event.type, event.json) for event in events]


def trail_keys(kiln, task):
    return [(item["sequence"], item["type"], item["data"]) for item in kiln.trail(task)]


# -- a build's events


def test_a_stream_has_the_trail_and_ends_with_the_build(kiln):
    project, _ = kiln.seeded()
    task = kiln.run(project, SLOW)
    with EventStream(kiln.api, f"/builds/{task}/events") as stream:
        events = stream.wait_end()
    assert stream.failure is None
    assert events[-1].type == "build.completed"
    kiln.wait_end(task)
    assert keys(events) == trail_keys(kiln, task)


def test_the_data_are_the_bytes_that_were_hashed(kiln):
    project, _ = kiln.seeded()
    task = kiln.run(project, SLOW, metadata={"ß": "ü\u2028\n\"", "a": "1"})
    with EventStream(kiln.api, f"/builds/{task}/events") as stream:
        events = stream.wait_end()
    digest = bytes(32)
    for event, item in zip(events, kiln.trail(task), strict=True):
        digest = hashlib.sha256(digest + event.data.encode()).digest()
        assert digest.hex() == item["hash"]


def test_readers_who_come_at_any_time_all_see_the_same(kiln):
    project, _ = kiln.seeded()
    gate = Gate(kiln)
    task = kiln.run(project, gate.script, auto_commit=True)
    with contextlib.ExitStack() as stack:
        streams = []
        while not kiln.tap.of(task, type="build.completed"):
            streams.append(stack.enter_context(EventStream(kiln.api, f"/builds/{task}/events")))
            if len(streams) == 10:
                gate.open()
        seen = [keys(stream.wait_end()) for stream in streams]
    expected = trail_keys(kiln, task)
    assert all(one == expected for one in seen)


def test_a_reader_who_comes_again_gets_the_rest_and_nothing_twice(kiln):
    project, _ = kiln.seeded()
    task = kiln.run(project, SLOW)
    events, last = [], None
    while not events or events[-1].type not in TERMINAL:
        with EventStream(kiln.api, f"/builds/{task}/events", last_id=last) as stream:
            stream.wait(1)
        events += stream.events
        last = stream.last_id
    assert keys(events) == trail_keys(kiln, task)


def test_the_last_id_goes_before_the_query(kiln):
    task = kiln.waiting()
    kiln.tap.wait_type(task, "build.pending")
    kiln.cancel(task)
    kiln.wait_end(task)
    with EventStream(kiln.api, f"/builds/{task}/events", after=1) as stream:
        rest = stream.wait_end()
    assert rest and int(rest[0].id) == 2
    with EventStream(kiln.api, f"/builds/{task}/events", last_id=0, after=1) as stream:
        assert keys(stream.wait_end()) == trail_keys(kiln, task)


def test_of_an_ended_build_comes_the_rest_then_204(kiln):
    project, _ = kiln.seeded()
    task = kiln.run(project, "echo hello", metadata=LARGE)
    kiln.wait_end(task)
    expected = trail_keys(kiln, task)
    assert len(expected) * len(json.dumps(LARGE)) > PAGE_BYTES
    for after in range(len(expected)):
        with EventStream(kiln.api, f"/builds/{task}/events", last_id=after) as stream:
            assert keys(stream.wait_end()) == expected[after:]
    for last in (len(expected), len(expected) + 7):
        with EventStream(kiln.api, f"/builds/{task}/events", last_id=last) as stream:
            assert stream.status == 204


def test_a_stream_from_an_id_that_is_ahead_ends_with_the_build_too(kiln):
    task = kiln.waiting()
    kiln.tap.wait_type(task, "build.pending")
    with EventStream(kiln.api, f"/builds/{task}/events", last_id=50) as stream:
        assert stream.status == 200
        kiln.cancel(task)
        assert not stream.wait_end()
    assert kiln.wait_end(task)["status"] == "cancelled"


@pytest.mark.parametrize("last_id", ["x", "-1", "1 2", "9223372036854775808", "AQAAAA", "1" * 600])
def test_an_id_that_is_none_is_400(kiln, last_id):
    task = kiln.waiting()
    headers = {"Accept": "text/event-stream", "Last-Event-ID": last_id}
    for path in (f"/builds/{task}/events", f"/builds/{task}/logs", "/events"):
        assert slug(kiln.api.get(path, headers=headers, expect=400)) == "bad-request"


def test_the_head_of_a_stream_is_had_without_it(kiln):
    task = kiln.waiting()
    for path in (f"/builds/{task}/events", "/events"):
        answer = kiln.api.plain("HEAD", path, headers={"Accept": "text/event-stream"})
        assert answer.status_code == 200 and answer.headers["content-type"] == "text/event-stream"
        assert answer.content == b"" and "content-length" not in answer.headers and "transfer-encoding" not in answer.headers


def test_the_head_of_a_stream_that_has_ended_tells_its_length(kiln):
    task = kiln.waiting()
    kiln.cancel(task)
    kiln.wait_end(task)
    headers, path = {"Accept": "text/event-stream"}, f"/builds/{task}/events"
    whole = kiln.api.get(path, headers=headers, expect=200)
    assert int(kiln.api.plain("HEAD", path, headers=headers).headers["content-length"]) == len(whole.content)


# -- logs


def test_a_log_streams_while_it_is_written_and_is_whole_at_the_end(kiln):
    project, _ = kiln.seeded()
    gate = Gate(kiln)
    task = kiln.run(project, f"for n in $(seq 1 3000); do echo line $n of many; [ $n != 500 ] || {gate.script}; done; echo oops >&2")
    with EventStream(kiln.api, f"/builds/{task}/logs") as stream:
        wait_for(lambda: stream.events, "the first line, before the build ends")
        gate.open()
        events = stream.wait_end()
    assert lines(events) == kiln.log(task)
    assert len(events) >= 3001


def test_readers_of_a_log_who_come_at_any_time_all_see_the_same(kiln):
    project, _ = kiln.seeded()
    gate = Gate(kiln)
    task = kiln.run(project, f"for n in $(seq 1 400); do echo $n; [ $((n % 20)) != 0 ] || sleep 0.05; [ $n != 200 ] || {gate.script}; done")
    with contextlib.ExitStack() as stack:
        streams = []
        while not kiln.tap.of(task, type="build.completed") and len(streams) < 100:
            streams.append(stack.enter_context(EventStream(kiln.api, f"/builds/{task}/logs")))
            if len(streams) == 10:
                gate.open()
        seen = [lines(stream.wait_end()) for stream in streams]
    expected = kiln.log(task)
    assert all(one == expected for one in seen), [len(one) for one in seen]


def test_a_log_goes_on_after_any_line(kiln):
    project, _ = kiln.seeded()
    task = kiln.run(project, "for n in $(seq 1 200); do echo $n; [ $((n % 20)) != 0 ] || sleep 0.1; done")
    got, last = [], None
    while True:
        with EventStream(kiln.api, f"/builds/{task}/logs", last_id=last) as stream:
            if stream.status == 204:
                break
            wait_for(lambda s=stream: s.events or s.ended, "a line, or the end")
        got += lines(stream.events)
        last = stream.last_id or last
    assert got == kiln.log(task)
    with EventStream(kiln.api, f"/builds/{task}/logs", last_id=got[57]["sequence"]) as stream:
        assert lines(stream.wait_end()) == got[58:]


# -- who may


def test_streams_are_for_those_who_may_read(kiln):
    project, other = kiln.project(), kiln.project()
    task = kiln.waiting(project)
    paths = (f"/builds/{task}/events", f"/builds/{task}/logs", f"/projects/{project['id']}/events")
    sse = {"Accept": "text/event-stream"}
    nobody, writer = kiln.api.with_token(None), kiln.token(["builds:write"])
    foreigner = kiln.token(["builds:read"], projects=[other["name"]])
    for path in paths:
        nobody.get(path, headers=sse, expect=401)
        writer.get(path, headers=sse, expect=403)
        foreigner.get(path, headers=sse, expect=404)
    kiln.api.get(f"/builds/{uuid.uuid4()}/events", headers=sse, expect=404)


def seconds_open(gateway, streams, since):
    """How long the last of them was open after that moment, by the gateway's own clock."""
    wait_for(lambda: all(stream.ended for stream in streams), "the streams to end")
    return (max(gateway_ended(gateway.log, stream.answer) for stream in streams) - since).total_seconds()


def test_a_revoked_tokens_streams_end_within_5_seconds_at_another_gateway(kiln, other_gateway):
    project = kiln.project()
    task = kiln.waiting(project)
    client = kiln.token(["builds:read"])
    there = kiln.at(other_gateway, client)
    paths = (f"/builds/{task}/events", f"/builds/{task}/logs", f"/projects/{project['id']}/events")
    with contextlib.ExitStack() as stack:
        streams = [stack.enter_context(EventStream(there, path)) for path in paths]
        kept = stack.enter_context(EventStream(kiln.at(other_gateway), paths[0]))
        streams[0].wait(1)
        kiln.api.delete(f"/tokens/{client.id}", expect=204)
        assert seconds_open(other_gateway, streams, datetime.datetime.now(datetime.UTC)) < REVOKED_WITHIN_S
        assert not kept.ended


def test_an_expired_tokens_streams_end_within_5_seconds(kiln, other_gateway):
    project = kiln.project()
    task = kiln.waiting(project)
    paths = (f"/builds/{task}/events", f"/builds/{task}/logs", f"/projects/{project['id']}/events")
    with contextlib.ExitStack() as stack:
        kept = stack.enter_context(EventStream(kiln.at(other_gateway), paths[0]))

        def begin(client):
            streams = [stack.enter_context(EventStream(kiln.at(other_gateway, client), path)) for path in paths]
            return streams if all(stream.status == 200 for stream in streams) else None

        streams, ends = kiln.until_expiry(["builds:read"], begin)
        wait_for(lambda: any(stream.ended for stream in streams), "a stream to end")
        assert datetime.datetime.now(datetime.UTC) >= ends
        assert seconds_open(other_gateway, streams, ends) < REVOKED_WITHIN_S
        assert not kept.ended


def test_streams_of_one_gateway_show_what_came_by_another(kiln, small_gateway):
    task = kiln.waiting()
    client = Client(small_gateway.url, kiln.api.token)
    with EventStream(client, f"/builds/{task}/events") as stream:
        stream.wait(1)
        kiln.cancel(task)
        assert [event.type for event in stream.wait_end()][-1] == "build.cancelled"
