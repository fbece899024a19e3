"""Event streams in time and number: heartbeats, slow and silent readers, limits, drains."""

import contextlib
import os
import signal
import socket

from kiln_testing import raw
from kiln_testing.agents import spec
from kiln_testing.client import Client, slug
from kiln_testing.services import ready_gateway
from kiln_testing.streams import EventStream, lines
from kiln_testing.waiting import stays, wait_for


def test_a_quiet_stream_has_a_heart_that_beats(kiln, small_gateway):
    client = Client(small_gateway.url, kiln.api.token)
    task, project = kiln.waiting(), kiln.project()
    with EventStream(client, f"/builds/{task}/events") as build, EventStream(client, f"/projects/{project['id']}/events") as feed:
        build.wait(1)
        wait_for(lambda: build.parser.comments >= 2 and feed.parser.comments >= 3, "heartbeats", 25)  # two by the default would be 30 s
    assert [event.id for event in build.events] == ["1"]


def test_a_token_has_so_many_streams_and_no_more(kiln, small_gateway):
    wait_for(lambda: small_gateway.metric("kiln_gateway_streams") == 0, "those of other tests to be gone")
    task = kiln.waiting()
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
        wait_for(lambda: small_gateway.metric("kiln_gateway_streams") == 5, "the one that left to be noticed")
        stack.enter_context(EventStream(client, path))


def raw_reader(gateway, token, path, window=4096):
    """A connection with a small window that has got a stream, and reads only what the test reads."""

    def opened():
        sock = raw.connect(gateway.url, window)
        sock.sendall(raw.head(token, "GET", path, "Accept: text/event-stream"))
        status = sock.recv(12, socket.MSG_PEEK | socket.MSG_WAITALL)
        if status == b"HTTP/1.1 503":  # it could not decide in its time
            sock.close()
            return None
        assert status == b"HTTP/1.1 200", status
        return sock

    return wait_for(opened, f"a stream of {path}", poll=0.5)


def test_a_reader_who_does_not_read_is_cut_and_can_go_on(kiln, small_gateway):
    project, _ = kiln.seeded()
    task = kiln.run(project, 'sleep 0.3; long=$(printf %200s); for n in $(seq 1 4000); do echo "$n$long"; done')
    cut = 'kiln_gateway_stream_ends_total{reason="slow"}'
    before = small_gateway.metric(cut)
    with raw_reader(small_gateway, kiln.api.token, f"/builds/{task}/logs") as sock:
        kiln.wait_end(task)
        wait_for(lambda: small_gateway.metric(cut) > before, "the reader to be cut")
        text = raw.read_all(sock).decode(errors="replace")
    whole = text[: text.rfind("\n\n") + 2]
    got = [int(line.removeprefix("id: ")) for line in whole.splitlines() if line.startswith("id: ")]
    log = [line["sequence"] for line in kiln.log(task)]
    assert 0 < len(got) < len(log)
    with EventStream(Client(small_gateway.url, kiln.api.token), f"/builds/{task}/logs", last_id=got[-1]) as stream:
        assert got + [int(event.id) for event in stream.wait_end()] == log


def test_who_reads_slowly_is_not_in_the_way_of_others(kiln, small_gateway):
    project, _ = kiln.seeded()
    command = kiln.agents.write('sleep 0.3; long=$(printf %200s); for n in $(seq 1 6000); do echo "$n$long"; done')
    cut, token = 'kiln_gateway_stream_ends_total{reason="slow"}', kiln.token(["builds:read"]).token
    for _ in range(5):
        wait_for(lambda: small_gateway.metric("kiln_gateway_streams") == 0, "those before to be gone")
        task = kiln.post(project, spec(command))
        path, before = f"/builds/{task}/logs", small_gateway.metric(cut)
        with contextlib.ExitStack() as stack:
            for _ in range(3):  # of the gateway's few loops one of them most probably has the other's
                stack.enter_context(raw_reader(small_gateway, token, path))
            stream = stack.enter_context(EventStream(Client(small_gateway.url, token), path))
            seen, log = lines(stream.wait_end()), kiln.log(task)
            # On a busy machine the quick one may not read for so long either: then it is cut too, and all begins again.
            count = before + (3 if seen == log else 4)
            wait_for(lambda n=count: small_gateway.metric(cut) == n, "those that did not read to be cut")
        if seen == log:
            return
    raise AssertionError("the quick reader was cut each time")


def test_a_client_that_goes_on_sending_is_cut(kiln, small_gateway):
    task = kiln.waiting()
    with raw_reader(small_gateway, kiln.api.token, f"/builds/{task}/events") as sock:
        assert b"200 OK" in sock.recv(4096)
        with contextlib.suppress(OSError):
            for _ in range(64):
                sock.sendall(b"GET / HTTP/1.1\r\n\r\n" * 512)
        wait_for(lambda: small_gateway.metric("kiln_gateway_streams") == 0, "the client to be cut")


def test_a_client_that_leaves_is_noticed(kiln, small_gateway):
    task = kiln.waiting()
    for how in (socket.SHUT_RDWR, socket.SHUT_WR):
        with raw_reader(small_gateway, kiln.api.token, f"/builds/{task}/events") as sock:
            assert b"200 OK" in sock.recv(4096)
            sock.shutdown(how)
            wait_for(lambda: small_gateway.metric("kiln_gateway_streams") == 0, "it to be noticed")


def test_a_drain_ends_streams_with_a_hint_when_to_come_again(kiln):
    task = kiln.waiting()
    with ready_gateway(kiln.system, KILN_DRAIN_TIMEOUT_MS="100000") as gateway:
        client = Client(gateway.url, kiln.api.token)
        with contextlib.ExitStack() as stack:
            streams = [stack.enter_context(EventStream(client, f"/builds/{task}/events")) for _ in range(8)]
            streams += [stack.enter_context(EventStream(client, "/events"))]
            stuck = stack.enter_context(raw_reader(gateway, kiln.api.token, f"/builds/{task}/events"))
            for stream in streams[:8]:
                stream.wait(1)
            assert b"200 OK" in stuck.recv(512)
            wait_for(lambda: all(len(stream.parser.retries) == 1 for stream in streams), "each stream's hint for a gateway that dies")
            os.kill(gateway.process.pid, signal.SIGTERM)
            wait_for(lambda: all(stream.ended for stream in streams), "the streams to end")
            for hints in zip(*(stream.parser.retries for stream in streams), strict=True):
                assert all(1000 <= hint < 5000 for hint in hints) and len(set(hints)) > 1, hints
            assert all(len(stream.parser.retries) == 2 for stream in streams)
            wait_for(lambda: gateway.process.poll() is not None, "the gateway to end", 90)  # by itself, before its drain is over
            assert gateway.process.returncode == 0
            assert b"retry: " in raw.read_all(stuck)


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
        *events, hint, rest = raw.read_all(sock).decode().split("\n\n")
    assert hint.startswith("retry: ") and not rest
    assert len(events) < 2000 and events[-1].startswith("id: ")


def test_ended_streams_leave_nothing(kiln, small_gateway):
    task = kiln.waiting()
    client = Client(small_gateway.url, kiln.api.token)
    for _ in range(20):
        with EventStream(client, f"/builds/{task}/events") as stream:
            stream.wait(1)
        wait_for(lambda: small_gateway.metric("kiln_gateway_streams") == 0, "the stream to end")
    assert stays(lambda: small_gateway.metric("kiln_gateway_streams") == 0, "no stream", 0.2) is None
