"""Clients that are slow, silent or many: each meets a limit, and nobody else notices. Those that are gone: test_gone_clients.py."""

import contextlib
import fcntl
import json
import pathlib
import resource
import select
import signal
import struct
import subprocess
import termios
import time

import pytest
from kiln_testing import raw
from kiln_testing.agents import WAITS, spec, waiting_spec
from kiln_testing.client import Client, key
from kiln_testing.raw import nothing_is_left, open_connections, serves
from kiln_testing.services import cpu_seconds, ready_gateway
from kiln_testing.streams import EventStream
from kiln_testing.system import is_stopped
from kiln_testing.waiting import wait_for

SHORT_MS = 1500
TYPE = "Content-Type: application/json"


@pytest.fixture(scope="module")
def hasty(shared_system):
    """A gateway whose deadlines for clients are short, beside the shared one."""
    variables = {f"KILN_{name}_TIMEOUT_MS": str(SHORT_MS) for name in ("HEADER", "BODY", "IDLE", "WRITE")}
    with ready_gateway(shared_system, **variables) as gateway:
        yield gateway


def cut_for(gateway, reason):
    return gateway.metric(f'kiln_http_cut_connections_total{{reason="{reason}"}}')


# -- slow clients


@pytest.mark.parametrize("piece", [b"x", b"X-Y: z\r\n"], ids=["one field", "fields"])
def test_a_head_that_drips_in_is_408_while_others_are_served(kiln, hasty, piece):
    before = cut_for(hasty, "head")
    with raw.connect(hasty.url) as sock:
        sock.sendall(raw.head(kiln.api.token, "GET", "/me")[:-2] + b"X: ")
        wait_for(lambda: serves(hasty, kiln), "another client to be served")
        (answer,) = raw.answers(raw.drip(sock, raw.endless(b"", piece)))
    assert answer.status == 408 and answer.slug == "request-timeout" and answer.headers["connection"] == "close"
    assert answer.headers["cache-control"] == "no-store"
    assert answer.against_contract("GET", "/me") == []
    assert cut_for(hasty, "head") == before + 1


@pytest.mark.parametrize(("line", "start"), [("Content-Length: 1000", b"{"), ("Transfer-Encoding: chunked", b"3e8\r\n")], ids=["length", "chunked"])
def test_a_body_that_drips_in_is_408_while_others_are_served(kiln, hasty, line, start):
    path = f"/projects/{kiln.project()['id']}/builds"
    before = cut_for(hasty, "body")
    with raw.connect(hasty.url) as sock:
        sock.sendall(raw.head(kiln.api.token, "POST", path, TYPE, line))
        wait_for(lambda: serves(hasty, kiln), "another client to be served")
        (answer,) = raw.answers(raw.drip(sock, raw.endless(start, b" ")))
    assert answer.status == 408 and answer.slug == "request-timeout" and answer.headers["connection"] == "close"
    assert answer.headers["cache-control"] == "no-store"
    assert answer.against_contract("POST", path) == []
    assert cut_for(hasty, "body") == before + 1
    assert not kiln.api.pages(path)


def test_a_body_that_was_asked_for_and_never_comes_is_408(kiln, hasty):
    def is_asked_for_then_408():
        with contextlib.suppress(ConnectionError), raw.connect(hasty.url) as sock:
            sock.sendall(raw.head(kiln.api.token, "POST", "/projects", TYPE, "Content-Length: 2", "Expect: 100-continue"))
            asked, _, rest = raw.read_all(sock).partition(b"\r\n\r\n")
            return asked == b"HTTP/1.1 100 Continue" and [answer.status for answer in raw.answers(rest)] == [408]
        return False

    wait_for(is_asked_for_then_408, "a body to be asked for and given up")


def test_a_connection_that_says_nothing_is_closed_without_a_word(kiln, hasty):
    def both_are_closed_without_a_word():
        with contextlib.suppress(ConnectionError), raw.connect(hasty.url) as silent, raw.connect(hasty.url) as kept:
            kept.sendall(raw.head(kiln.api.token, "GET", "/me"))
            return raw.read_answer(kept).status == 200 and raw.read_all(silent) == raw.read_all(kept) == b""
        return False

    wait_for(both_are_closed_without_a_word, "a silent and a kept connection to be closed")
    nothing_is_left(hasty)


def test_a_kept_connection_has_its_deadlines_anew_for_each_request(kiln, hasty):
    request = raw.head(kiln.api.token, "GET", "/me")

    def outlasts_one_deadline():
        begin = time.monotonic()
        with contextlib.suppress(ConnectionError), raw.connect(hasty.url) as sock:
            while time.monotonic() - begin < 2.5 * SHORT_MS / 1000:
                sock.sendall(request)
                if raw.read_answer(sock).status != 200:
                    return False
            return True
        return False  # this process was held up for so long

    wait_for(outlasts_one_deadline, "a connection that is used all the time to be kept")


def test_a_client_that_does_not_take_its_answers_is_cut(kiln, hasty):
    before = cut_for(hasty, "write")
    with raw.connect(hasty.url, window=4096) as sock:
        sock.settimeout(0.2)
        with contextlib.suppress(TimeoutError, ConnectionError):
            while True:  # until the gateway reads no more: its answers are stuck
                sock.sendall(raw.head(kiln.api.token, "GET", "/openapi.json") * 100)
        wait_for(lambda: cut_for(hasty, "write") > before, "the client to be cut")
        wait_for(lambda: open_connections(hasty) == 0, "its connection to be closed")
        with pytest.raises(ConnectionError):  # reset: what was not taken is not kept
            while sock.recv(1 << 20):
                pass
    nothing_is_left(hasty)


# -- many


@pytest.mark.parametrize("loops", [1, 2])
def test_ten_thousand_idle_connections_keep_nobody_out(kiln, loops):
    count = 10_000
    limits = {"KILN_MAX_CONNECTIONS": str(count), "KILN_HEADER_TIMEOUT_MS": "600000", "KILN_THREADS": str(loops)}
    with open_files(count + 1000), ready_gateway(kiln.system, **limits) as gateway, contextlib.ExitStack() as stack:
        idle = [stack.enter_context(raw.connect(gateway.url)) for _ in range(count)]
        wait_for(lambda: open_connections(gateway) == count, "all of them to be accepted")
        assert cut_for(gateway, "room") == 0
        for _ in range(20):
            assert serves(gateway, kiln)
        assert 0 < cut_for(gateway, "room") < count / 2 and cut_for(gateway, "refused") == 0
        if loops == 1:  # it has the oldest
            assert raw.read_all(idle[0]) == b""  # which had to go
        idle[-1].sendall(raw.head(kiln.api.token, "GET", "/me", "Connection: close"))
        assert [answer.status for answer in raw.answers(raw.read_all(idle[-1]))] == [200]
        stack.close()
        nothing_is_left(gateway)


def test_bodies_that_never_come_keep_nobody_out(kiln):
    limits = {"KILN_MAX_CONNECTIONS": "8", "KILN_BODY_TIMEOUT_MS": "600000", "KILN_THREADS": "1"}
    with ready_gateway(kiln.system, **limits) as gateway, contextlib.ExitStack() as stack:
        holding = [stack.enter_context(raw.connect(gateway.url)) for _ in range(8)]
        for sock in holding:
            sock.sendall(raw.head("nobody", "POST", "/projects", TYPE, "Content-Length: 1", "Expect: 100-continue"))
            assert sock.recv(100) == b"HTTP/1.1 100 Continue\r\n\r\n"  # its head has been read
        wait_for(lambda: serves(gateway, kiln), "room to be made")
        for _ in range(20):
            assert serves(gateway, kiln)
        (answer,) = raw.answers(raw.read_all(holding[0]))
        assert answer.status == 503 and answer.slug == "overloaded" and answer.headers["retry-after"]
        assert cut_for(gateway, "room") > 0 and cut_for(gateway, "body") == 0


class Keyed:
    """A POST of a build with a key, in pieces; and whether it was executed."""

    def __init__(self, kiln):
        self.path = f"/projects/{kiln.project()['id']}/builds"
        self.headers = key()
        body = json.dumps(waiting_spec()).encode()
        fields = (TYPE, f"Content-Length: {len(body)}", *(f"{name}: {value}" for name, value in self.headers.items()))
        self.start = raw.head(kiln.api.token, "POST", self.path, *fields) + body[:-1]
        self.rest = body[-1:]

    def was_executed(self, there):
        """The key's first record decides, and records with one key keep their order."""
        return there.post(self.path, spec("other", **WAITS), headers=self.headers, expect=(202, 422)).status_code == 422


def deliver(sock, data):
    """Sends it; it lies with the other side then, whether or not that runs."""
    sock.sendall(data)
    unacknowledged = bytearray(4)

    def is_there():
        fcntl.ioctl(sock, termios.TIOCOUTQ, unacknowledged)
        return struct.unpack("i", unacknowledged) == (0,)

    wait_for(is_there, "the other side's kernel to have it")


@contextlib.contextmanager
def standing_still(gateway):
    gateway.process.send_signal(signal.SIGSTOP)
    try:
        wait_for(lambda: is_stopped(gateway.process.pid), "the gateway to stand still")
        yield
    finally:
        gateway.process.send_signal(signal.SIGCONT)


ONE_PLACE = {"KILN_MAX_CONNECTIONS": "1", "KILN_THREADS": "1", "KILN_BODY_TIMEOUT_MS": "600000"}


def take_the_place(kiln, gateway, sock, rest, not_before):
    """A new client comes while the rest of a request does. A loop that finds both together takes the client first, and makes room for it."""
    with contextlib.ExitStack() as stack:
        with standing_still(gateway):
            new = stack.enter_context(raw.connect(gateway.url))
            deliver(new, raw.head(kiln.api.token, "GET", "/me", "Connection: close"))
            deliver(sock, rest)
            wait_for(lambda: time.monotonic() > not_before, "the time to come")
        assert [answer.status for answer in raw.answers(raw.read_all(new))] == [200]


def test_a_body_that_is_refused_for_room_starts_no_build_though_its_rest_has_come(kiln):
    post = Keyed(kiln)
    with ready_gateway(kiln.system, **ONE_PLACE) as gateway, raw.connect(gateway.url) as late:
        late.sendall(post.start)
        wait_for(lambda: gateway.metric("kiln_http_unread_bytes") > 0, "a sweep to see it")
        take_the_place(kiln, gateway, late, post.rest, time.monotonic() + 1.1)  # ROOM_AGE_MS: it is no young one then
        (answer,) = raw.answers(raw.read_all(late))
        assert answer.status == 503 and answer.slug == "overloaded"
        assert not post.was_executed(kiln.at(gateway))


def test_a_request_on_a_connection_that_made_room_before_it_was_read_is_not_executed(kiln):
    post = Keyed(kiln)
    with ready_gateway(kiln.system, **ONE_PLACE) as gateway, raw.connect(gateway.url) as kept:
        kept.sendall(raw.head(kiln.api.token, "GET", "/me"))
        assert raw.read_answer(kept).status == 200
        take_the_place(kiln, gateway, kept, post.start + post.rest, time.monotonic())
        assert raw.read_all(kept) == b""
        assert not post.was_executed(kiln.at(gateway))


def test_the_largest_unfinished_requests_go_when_they_take_too_much_memory(kiln):
    limits = {"KILN_MAX_UNREAD_BYTES": "4194304", "KILN_BODY_TIMEOUT_MS": "600000", "KILN_THREADS": "8"}  # of all loops the largest
    with ready_gateway(kiln.system, **limits) as gateway, contextlib.ExitStack() as stack:
        small, last, *large = [stack.enter_context(raw.connect(gateway.url)) for _ in range(6)]
        project = b'{"name":"' + kiln.name().encode() + b'"}'
        small.sendall(raw.head(kiln.api.token, "POST", "/projects", TYPE, f"Content-Length: {len(project)}") + project[:-1])
        for sock in large:
            sock.sendall(raw.head("nobody", "POST", "/projects", TYPE, "Content-Length: 1048576") + bytes(1000000))
        wait_for(lambda: gateway.metric("kiln_http_unread_bytes") > 4000000, "all of them to be in memory")
        assert cut_for(gateway, "memory") == 0
        last.sendall(raw.head("nobody", "POST", "/projects", TYPE, "Content-Length: 1048576") + bytes(250000))
        wait_for(lambda: 0 < cut_for(gateway, "memory") == len(readable(large)), "one of them to be cut")
        for sock in readable(large):
            (answer,) = raw.answers(raw.read_all(sock))
            assert answer.status == 503 and answer.slug == "overloaded" and answer.headers["retry-after"]
        assert not readable([last, small])
        small.sendall(project[-1:])
        answer = raw.read_answer(small)
        assert answer.status == 201 or answer.is_undecided


def readable(socks):
    return select.select(socks, [], [], 0)[0]


@contextlib.contextmanager
def open_files(count):
    """So many for this process and its children; who may not raise the hard limit leaves the test out."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard != resource.RLIM_INFINITY and hard < count:
        try:
            resource.setrlimit(resource.RLIMIT_NOFILE, (soft, count))
        except (OSError, ValueError):
            pytest.skip(f"this machine allows {hard} open files, {count} are needed")
    resource.setrlimit(resource.RLIMIT_NOFILE, (count, max(count, hard) if hard != resource.RLIM_INFINITY else hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_a_full_house_refuses_clearly_and_lets_in_who_comes_later(kiln):
    task = kiln.post(kiln.project(), waiting_spec())
    with ready_gateway(kiln.system, KILN_MAX_CONNECTIONS="4", KILN_THREADS="1") as gateway, contextlib.ExitStack() as stack:
        client = Client(gateway.url, kiln.api.token)
        streams = [stack.enter_context(EventStream(client, f"/builds/{task}/events")) for _ in range(4)]
        for stream in streams:
            stream.wait(1)
        for data in b"", raw.head(kiln.api.token, "GET", "/me"):
            (answer,) = raw.answers(raw.exchange(gateway.url, data))
            assert answer.status == 503 and answer.slug == "overloaded"
            assert answer.headers["retry-after"] and answer.headers["connection"] == "close" and answer.headers["cache-control"] == "no-store"
        assert cut_for(gateway, "refused") == 2 and cut_for(gateway, "room") == 0
        streams[0].close()
        wait_for(lambda: open_connections(gateway) < 4, "the one that left to be noticed")
        assert serves(gateway, kiln)


def test_an_idle_connection_makes_room_whichever_loop_has_it(kiln):
    task = kiln.post(kiln.project(), waiting_spec())
    with ready_gateway(kiln.system, KILN_MAX_CONNECTIONS="8", KILN_THREADS="4") as gateway, contextlib.ExitStack() as stack:
        client = Client(gateway.url, kiln.api.token)
        for stream in [stack.enter_context(EventStream(client, f"/builds/{task}/events")) for _ in range(7)]:
            stream.wait(1)
        for _ in range(20):
            with raw.connect(gateway.url) as idle:
                wait_for(lambda: open_connections(gateway) == 8, "a full house")
                assert serves(gateway, kiln)
                assert raw.read_all(idle) == b""
            wait_for(lambda: open_connections(gateway) == 7, "both to be closed")
        assert cut_for(gateway, "room") == 20 and cut_for(gateway, "refused") == 0


def test_the_limit_of_open_files_is_the_limit_of_connections(kiln):
    """The gateway keeps descriptors for what it needs itself."""
    with ready_gateway(kiln.system, open_files=1200, KILN_HEADER_TIMEOUT_MS="600000") as gateway, contextlib.ExitStack() as stack:
        for _ in range(1100):
            stack.enter_context(raw.connect(gateway.url))
        wait_for(lambda: cut_for(gateway, "room") > 0, "room to be made")
        assert serves(gateway, kiln)
        wait_for(lambda: gateway.readyz().status_code == 200, "the gateway to be ready")  # it asks Kafka, which may be slow
        log = gateway.log.read_text(encoding="utf-8")
        assert "fewer connections than KILN_MAX_CONNECTIONS" in log and "cannot accept" not in log


def limit_open_files(system, pid, count):
    """The soft limit of a running service; only its own user may always change that."""
    subprocess.run(["prlimit", "--pid", str(pid), f"--nofile={count}:"], check=True, **system.as_run_user())


def test_without_descriptors_the_gateway_waits_and_goes_on_later(kiln):
    with ready_gateway(kiln.system, KILN_THREADS="2") as gateway, contextlib.ExitStack() as stack:  # each loop complains
        pid = gateway.process.pid
        used = len(list(pathlib.Path("/proc", str(pid), "fd").iterdir()))
        limit_open_files(kiln.system, pid, used)
        waiting = [stack.enter_context(raw.connect(gateway.url)) for _ in range(50)]
        ops = stack.enter_context(raw.connect(gateway.ops))
        wait_for(lambda: b"cannot accept connections" in gateway.log.read_bytes(), "descriptors to be wanting")
        for sock in waiting:
            sock.sendall(raw.head(kiln.api.token, "GET", "/me", "Connection: close"))
        ops.sendall(b"GET /livez HTTP/1.1\r\nHost: kiln\r\nConnection: close\r\n\r\n")
        begin = cpu_seconds(pid)
        waiting[-1].settimeout(1)
        with pytest.raises(TimeoutError):
            waiting[-1].recv(1)
        assert cpu_seconds(pid) - begin < 0.5, "it spins"
        limit_open_files(kiln.system, pid, 1000)
        waiting[-1].settimeout(raw.TIMEOUT)
        for sock in (*waiting, ops):
            assert [answer.status for answer in raw.answers(raw.read_all(sock))] == [200]
        assert gateway.log.read_bytes().count(b"cannot accept connections") < 10
