"""Event streams: every event once and in order, whenever a reader comes, leaves and comes again."""

import contextlib
import hashlib
import os
import signal
import socket
import uuid

import httpx
import pytest
from kiln_testing.agents import Gate, spec
from kiln_testing.client import Client, slug
from kiln_testing.services import ready_gateway, second_gateway
from kiln_testing.streams import EventStream
from kiln_testing.waiting import stays, wait_for

WAITS = {"labels": ["nobody-has-this"]}
SLOW = "for n in 1 2 3 4 5 6; do echo line $n; sleep 0.1; done"
TERMINAL = ("build.completed", "build.failed", "build.cancelled")


def keys(events):
    return [(int(event.id), event.type, event.json) for event in events]


def trail_keys(kiln, task):
    return [(item["sequence"], item["type"], item["data"]) for item in kiln.trail(task)]


def waiting_build(kiln, project=None):
    return kiln.post(project or kiln.project(), spec("none", **WAITS))


@pytest.fixture(scope="module")
def small_gateway(shared_system):
    """A gateway with small limits, beside the shared one."""
    variables = {
        "KILN_STREAM_HEARTBEAT_MS": "1000",
        "KILN_STREAM_STALL_MS": "2000",
        "KILN_STREAM_BUFFER_BYTES": "4096",
        "KILN_MAX_STREAMS": "6",
        "KILN_MAX_STREAMS_PER_TOKEN": "4",
    }
    with second_gateway(shared_system, **variables) as gateway:
        wait_for(lambda: (answer := gateway.readyz()) is not None and answer.status_code == 200, "the second gateway")
        yield gateway


def metric(gateway, name):
    for line in httpx.get(f"{gateway.ops}/metrics", timeout=10, trust_env=False).text.splitlines():
        if line.startswith(name + " "):
            return float(line.split()[-1])
    raise AssertionError(f"no metric {name}")


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
    task = waiting_build(kiln)
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
    task = kiln.run(project, "echo hello")
    kiln.wait_end(task)
    expected = trail_keys(kiln, task)
    for after in range(len(expected)):
        with EventStream(kiln.api, f"/builds/{task}/events", last_id=after) as stream:
            assert keys(stream.wait_end()) == expected[after:]
    for last in (len(expected), len(expected) + 7):
        with EventStream(kiln.api, f"/builds/{task}/events", last_id=last) as stream:
            assert stream.status == 204


def test_a_stream_from_an_id_that_is_ahead_ends_with_the_build_too(kiln):
    task = waiting_build(kiln)
    kiln.tap.wait_type(task, "build.pending")
    with EventStream(kiln.api, f"/builds/{task}/events", last_id=50) as stream:
        assert stream.status == 200
        kiln.cancel(task)
        assert not stream.wait_end()
    assert kiln.wait_end(task)["status"] == "cancelled"


@pytest.mark.parametrize("last_id", ["x", "-1", "1 2", "9223372036854775808", "AQAAAA", "1" * 600])
def test_an_id_that_is_none_is_400(kiln, last_id):
    task = waiting_build(kiln)
    headers = {"Accept": "text/event-stream", "Last-Event-ID": last_id}
    for path in (f"/builds/{task}/events", f"/builds/{task}/logs", "/events"):
        assert slug(kiln.api.get(path, headers=headers, expect=400)) == "bad-request"


def test_the_head_of_a_stream_is_had_without_it(kiln):
    task = waiting_build(kiln)
    for path in (f"/builds/{task}/events", "/events"):
        answer = kiln.api.http.head(path, headers={"Accept": "text/event-stream"})
        assert answer.status_code == 200 and answer.headers["content-type"] == "text/event-stream"
        assert answer.content == b""


# -- logs


def lines(events):
    assert all(event.type == "build.log" and event.id == str(event.json["sequence"]) for event in events)
    return [event.json for event in events]


def test_a_log_streams_while_it_is_written_and_is_whole_at_the_end(kiln):
    project, _ = kiln.seeded()
    gate = Gate(kiln)
    task = kiln.run(project, f"for n in $(seq 1 3000); do echo line $n of many; [ $n != 500 ] || {gate.script}; done; echo oops >&2")
    with EventStream(kiln.api, f"/builds/{task}/logs") as stream:
        wait_for(lambda: stream.events, "the first line, before the build ends")
        gate.open()
        events = stream.wait_end(60)
    assert lines(events) == kiln.log(task)
    assert len(events) >= 3001


def test_readers_of_a_log_who_come_at_any_time_all_see_the_same(kiln):
    project, _ = kiln.seeded()
    task = kiln.run(project, "for n in $(seq 1 400); do echo $n; [ $((n % 20)) != 0 ] || sleep 0.05; done")
    with contextlib.ExitStack() as stack:
        streams = []
        while not kiln.tap.of(task, type="build.completed") and len(streams) < 100:
            streams.append(stack.enter_context(EventStream(kiln.api, f"/builds/{task}/logs")))
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


# -- feeds


def numbered(events, topic="build_id"):
    """{build: its sequences in the order of the feed}."""
    found = {}
    for event in events:
        if event.type.startswith("build."):
            found.setdefault(event.json[topic], []).append(event.json["sequence"])
    return found


def test_a_projects_feed_has_its_builds_and_no_others(kiln):
    project, _ = kiln.seeded()
    other, _ = kiln.seeded()
    with EventStream(kiln.api, f"/projects/{project['name']}/events") as stream:
        wait_for(lambda: stream.last_id, "the feed's place")
        tasks = [kiln.run(project, "true") for _ in range(3)]
        foreign = kiln.run(other, "true")
        for task in (*tasks, foreign):
            kiln.wait_end(task)
        wait_for(lambda: sum(event.type in TERMINAL for event in stream.events) == 3, "the ends of three builds")
    found = numbered(stream.events)
    assert found == {task: list(range(1, len(kiln.trail(task)) + 1)) for task in tasks}
    one = next(event for event in stream.events if event.type == "build.completed")
    assert one.json == kiln.trail(one.json["build_id"])[-1]["data"]


def test_a_feed_tells_of_the_project_to_those_who_may_read_projects(kiln):
    project = kiln.project()
    reader, narrow = kiln.token(["builds:read", "projects:read"]), kiln.token(["builds:read"])
    path = f"/projects/{project['id']}"
    with EventStream(reader, f"{path}/events") as full, EventStream(narrow, f"{path}/events") as poor:
        wait_for(lambda: full.last_id and poor.last_id, "both feeds' places")
        etag = kiln.api.get(path, expect=200).headers["etag"]
        kiln.api.patch(path, {"description": "new"}, headers={"If-Match": etag}, expect=200)
        changed = full.wait_type("project.changed")
        task = waiting_build(kiln, project)
        poor.wait_type("build.pending")
    assert changed.json["project"]["id"] == project["id"]
    assert [event.json["build_id"] for event in poor.events] == [task]


def builds_of(events):
    """Of a feed, which tells of projects too."""
    return [event.json["build_id"] for event in events if "build_id" in event.json]


def test_a_feed_that_is_opened_again_misses_nothing(kiln):
    project = kiln.project()
    tasks, events, last = [], [], None
    for round_ in range(6):
        with EventStream(kiln.api, f"/projects/{project['id']}/events", last_id=last) as stream:
            wait_for(lambda s=stream: s.last_id, "the feed's place")
            if round_ % 2 == 0:
                tasks.append(waiting_build(kiln, project))
                wait_for(lambda s=stream: tasks[-1] in builds_of(s.events), "the build just made")
        events += stream.events
        last = stream.last_id
        tasks += [waiting_build(kiln, project) for _ in range(2)]  # while nobody reads
        kiln.tap.wait_type(tasks[-1], "build.pending")
    with EventStream(kiln.api, f"/projects/{project['id']}/events", last_id=last) as stream:
        wait_for(lambda: set(builds_of(events + stream.events)) == set(tasks), "all builds")
        events += stream.events
    pending = [event.json["build_id"] for event in events if event.type == "build.pending"]
    assert sorted(pending) == sorted(tasks)


def test_the_feed_of_everything_is_an_admins_and_has_everything(kiln):
    assert slug(kiln.token(["builds:read"]).get("/events", expect=403)) == "forbidden"
    with EventStream(kiln.api, "/events") as stream:
        wait_for(lambda: stream.last_id, "the feed's place")
        projects = [kiln.project() for _ in range(3)]
        tasks = [waiting_build(kiln, project) for project in projects]
        wanted = {("project.created", project["id"]) for project in projects} | {("build.pending", task) for task in tasks}

        def seen():
            return {(e.type, e.json.get("build_id") or e.json["project"]["id"]) for e in list(stream.events)}

        wait_for(lambda: wanted <= seen(), "all of it")


def test_a_feed_begins_where_it_was_opened_though_nothing_came(kiln):
    project = kiln.project()
    with EventStream(kiln.api, f"/projects/{project['id']}/events") as stream:
        place = wait_for(lambda: stream.last_id, "the feed's place")
    task = waiting_build(kiln, project)
    kiln.tap.wait_type(task, "build.pending")
    with EventStream(kiln.api, f"/projects/{project['id']}/events", last_id=place) as stream:
        assert stream.wait_type("build.pending").json["build_id"] == task


def far_place():
    """An id that no log has reached yet: what one looks like whose log is gone."""
    import base64

    return base64.urlsafe_b64encode(bytes([1]) + b"\xff\xff\xff\xff\x7f" * 24).decode().rstrip("=")


def test_an_id_that_is_not_kept_any_more_is_told_by_a_reset(kiln):
    project = kiln.project()
    with EventStream(kiln.api, f"/projects/{project['id']}/events", last_id=far_place()) as stream:
        first, *_ = stream.wait(1)
        assert first.type == "reset" and first.id not in (None, far_place())
        task = waiting_build(kiln, project)
        assert stream.wait_type("build.pending").json["build_id"] == task


# -- who may


def test_streams_are_for_those_who_may_read(kiln):
    project, other = kiln.project(), kiln.project()
    task = waiting_build(kiln, project)
    paths = (f"/builds/{task}/events", f"/builds/{task}/logs", f"/projects/{project['id']}/events")
    sse = {"Accept": "text/event-stream"}
    nobody, writer = kiln.api.with_token(None), kiln.token(["builds:write"])
    foreigner = kiln.token(["builds:read"], projects=[other["name"]])
    for path in paths:
        nobody.get(path, headers=sse, expect=401)
        writer.get(path, headers=sse, expect=403)
        foreigner.get(path, headers=sse, expect=404)
    kiln.api.get(f"/builds/{uuid.uuid4()}/events", headers=sse, expect=404)


def test_a_feed_is_no_json(kiln):
    assert slug(kiln.api.get("/events", headers={"Accept": "application/json"}, expect=406)) == "not-acceptable"


def test_a_revoked_tokens_streams_end_within_5_seconds(kiln):
    project = kiln.project()
    task = waiting_build(kiln, project)
    client = kiln.token(["builds:read"])
    paths = (f"/builds/{task}/events", f"/builds/{task}/logs", f"/projects/{project['id']}/events")
    with contextlib.ExitStack() as stack:
        streams = [stack.enter_context(EventStream(client, path)) for path in paths]
        kept = stack.enter_context(EventStream(kiln.api, paths[0]))
        streams[0].wait(1)
        kiln.api.delete(f"/tokens/{client.id}", expect=204)
        wait_for(lambda: all(stream.ended for stream in streams), "the streams to end", 10)  # five, and what a busy machine adds
        assert not kept.ended


def test_streams_of_one_gateway_show_what_came_by_another(kiln, small_gateway):
    task = waiting_build(kiln)
    client = Client(small_gateway.url, kiln.api.token)
    with EventStream(client, f"/builds/{task}/events") as stream:
        stream.wait(1)
        kiln.cancel(task)
        assert [event.type for event in stream.wait_end()][-1] == "build.cancelled"


# -- limits and time


def test_a_quiet_stream_has_a_heart_that_beats(kiln, small_gateway):
    client = Client(small_gateway.url, kiln.api.token)
    task, project = waiting_build(kiln), kiln.project()
    with EventStream(client, f"/builds/{task}/events") as build, EventStream(client, f"/projects/{project['id']}/events") as feed:
        build.wait(1)
        wait_for(lambda: build.parser.comments >= 2 and feed.parser.comments >= 3, "heartbeats", 25)  # two by the default would be 30 s
    assert [event.id for event in build.events] == ["1"]


def test_a_heartbeat_keeps_the_place_of_a_feed_new(kiln, small_gateway):
    client = Client(small_gateway.url, kiln.api.token)
    quiet, busy = kiln.project(), kiln.project()
    with EventStream(client, f"/projects/{quiet['id']}/events") as stream:
        wait_for(lambda: stream.last_id, "the feed's place")
        etag = client.get(f"/projects/{quiet['id']}", expect=200).headers["etag"]
        client.patch(f"/projects/{quiet['id']}", {"description": "new"}, headers={"If-Match": etag}, expect=200)
        stream.wait_type("project.changed")  # nothing of its own comes after this
        place, known = stream.last_id, len(stream.events)
        waiting_build(kiln, busy)
        wait_for(lambda: stream.last_id != place, "the place to move on")
        assert len(stream.events) == known


def test_a_token_has_so_many_streams_and_no_more(kiln, small_gateway):
    task = waiting_build(kiln)
    token = kiln.token(["builds:read"])
    client, path = Client(small_gateway.url, token.token), f"/builds/{task}/events"
    sse = {"Accept": "text/event-stream"}
    with contextlib.ExitStack() as stack:
        streams = [stack.enter_context(EventStream(client, path)) for _ in range(4)]
        refused = client.get(path, headers=sse, expect=429)
        assert slug(refused) == "too-many-requests" and refused.headers["retry-after"]
        assert client.get(path, expect=200).json()["items"]  # pages are none
        admin = Client(small_gateway.url, kiln.api.token)
        for _ in range(2):
            stack.enter_context(EventStream(admin, path))
        assert slug(admin.get(path, headers=sse, expect=503)) == "overloaded"
        streams[0].close()
        wait_for(lambda: metric(small_gateway, "kiln_gateway_streams") == 5, "the one that left to be noticed")
        stack.enter_context(EventStream(client, path))


def raw_reader(gateway, token, path, last_id=None, window=4096):
    """A connection with a small window that has asked for a stream, and reads only what the test reads."""
    sock = socket.socket()
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, window)
    sock.settimeout(10)
    host, _, port = gateway.url.removeprefix("http://").partition(":")
    sock.connect((host, int(port)))
    head = f"GET {path} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {token}\r\nAccept: text/event-stream\r\n"
    sock.sendall((head + (f"Last-Event-ID: {last_id}\r\n" if last_id else "") + "\r\n").encode())
    return sock


def read_all(sock):
    data = b""
    with contextlib.suppress(ConnectionResetError):
        while chunk := sock.recv(65536):
            data += chunk
    return data


def test_a_reader_who_does_not_read_is_cut_and_can_go_on(kiln, small_gateway):
    project, _ = kiln.seeded()
    task = kiln.run(project, 'sleep 0.3; long=$(printf %200s); for n in $(seq 1 4000); do echo "$n$long"; done')
    cut = 'kiln_gateway_stream_ends_total{reason="slow"}'
    before = metric(small_gateway, cut)
    with raw_reader(small_gateway, kiln.api.token, f"/builds/{task}/logs") as sock:
        kiln.wait_end(task, 60)
        wait_for(lambda: metric(small_gateway, cut) > before, "the reader to be cut")
        text = read_all(sock).decode(errors="replace")
    whole = text[: text.rfind("\n\n") + 2]
    got = [int(line.removeprefix("id: ")) for line in whole.splitlines() if line.startswith("id: ")]
    log = [line["sequence"] for line in kiln.log(task)]
    assert 0 < len(got) < len(log)
    with EventStream(Client(small_gateway.url, kiln.api.token), f"/builds/{task}/logs", last_id=got[-1]) as stream:
        assert got + [int(event.id) for event in stream.wait_end(60)] == log


def test_who_reads_slowly_is_not_in_the_way_of_others(kiln, small_gateway):
    project, _ = kiln.seeded()
    task = kiln.run(project, 'sleep 0.3; long=$(printf %200s); for n in $(seq 1 6000); do echo "$n$long"; done')
    cut, path, token = 'kiln_gateway_stream_ends_total{reason="slow"}', f"/builds/{task}/logs", kiln.token(["builds:read"]).token
    before = metric(small_gateway, cut)
    with contextlib.ExitStack() as stack:
        for _ in range(3):  # of the gateway's few loops one of them most probably has the other's
            stack.enter_context(raw_reader(small_gateway, token, path))
        stream = stack.enter_context(EventStream(Client(small_gateway.url, token), path))
        assert lines(stream.wait_end(60)) == kiln.log(task)
        wait_for(lambda: metric(small_gateway, cut) == before + 3, "the slow ones to be cut: they did not read")


def test_a_client_that_goes_on_sending_is_cut(kiln, small_gateway):
    task = waiting_build(kiln)
    with raw_reader(small_gateway, kiln.api.token, f"/builds/{task}/events") as sock:
        assert b"200 OK" in sock.recv(4096)
        with contextlib.suppress(OSError):
            for _ in range(64):
                sock.sendall(b"GET / HTTP/1.1\r\n\r\n" * 512)
        wait_for(lambda: metric(small_gateway, "kiln_gateway_streams") == 0, "the client to be cut")


def test_a_client_that_leaves_is_noticed(kiln, small_gateway):
    task = waiting_build(kiln)
    for how in (socket.SHUT_RDWR, socket.SHUT_WR):
        with raw_reader(small_gateway, kiln.api.token, f"/builds/{task}/events") as sock:
            assert b"200 OK" in sock.recv(4096)
            sock.shutdown(how)
            wait_for(lambda: metric(small_gateway, "kiln_gateway_streams") == 0, "it to be noticed")


def test_a_drain_ends_streams_with_a_hint_when_to_come_again(kiln):
    task = waiting_build(kiln)
    with second_gateway(kiln.system, KILN_DRAIN_TIMEOUT_MS="20000") as gateway:
        wait_for(lambda: (answer := gateway.readyz()) is not None and answer.status_code == 200, "the gateway")
        client = Client(gateway.url, kiln.api.token)
        with contextlib.ExitStack() as stack:
            streams = [stack.enter_context(EventStream(client, f"/builds/{task}/events")) for _ in range(8)]
            streams += [stack.enter_context(EventStream(client, "/events"))]
            stuck = stack.enter_context(raw_reader(gateway, kiln.api.token, f"/builds/{task}/events"))
            for stream in streams[:8]:
                stream.wait(1)
            assert b"200 OK" in stuck.recv(512)
            assert all(stream.parser.retry == 3000 for stream in streams)
            os.kill(gateway.process.pid, signal.SIGTERM)
            wait_for(lambda: all(stream.ended for stream in streams), "the streams to end")
            hints = [stream.parser.retry for stream in streams]
            assert all(1000 <= hint < 5000 for hint in hints) and len(set(hints)) > 1, hints
            wait_for(lambda: gateway.process.poll() is not None, "the gateway to end", 18)  # by itself, before its drain is over
            assert gateway.process.returncode == 0
            assert b"retry: " in read_all(stuck)


def test_a_drain_does_not_cut_what_is_being_written(kiln):
    project, _ = kiln.seeded()
    task = kiln.run(project, 'long=$(printf %200s); for n in $(seq 1 2000); do echo "$n$long"; done')
    kiln.wait_end(task)
    with ready_gateway(kiln.system, KILN_STREAM_BUFFER_BYTES="4096") as gateway, contextlib.ExitStack() as stack:
        feed = stack.enter_context(EventStream(Client(gateway.url, kiln.api.token), "/events"))
        wait_for(lambda: feed.last_id, "the feed's place")
        sock = stack.enter_context(raw_reader(gateway, kiln.api.token, f"/builds/{task}/logs", window=65536))
        wait_for(lambda: len(sock.recv(32768, socket.MSG_PEEK)) == 32768, "a page, which is longer than all buffers")
        os.kill(gateway.process.pid, signal.SIGTERM)
        wait_for(lambda: feed.ended, "the drain")
        *events, hint, rest = read_all(sock).decode().split("\n\n")
    assert hint.startswith("retry: ") and not rest
    assert len(events) < 2000 and events[-1].startswith("id: ")


def test_ended_streams_leave_nothing(kiln, small_gateway):
    task = waiting_build(kiln)
    client = Client(small_gateway.url, kiln.api.token)
    for _ in range(20):
        with EventStream(client, f"/builds/{task}/events") as stream:
            stream.wait(1)
        wait_for(lambda: metric(small_gateway, "kiln_gateway_streams") == 0, "the stream to end")
    assert stays(lambda: metric(small_gateway, "kiln_gateway_streams") == 0, "no stream", 0.2) is None
