"""HTTP by hand: the bytes that a test wants on a connection, and what comes back on it, to the last byte."""

import contextlib
import json
import pathlib
import re
import socket
import ssl
import struct
import time
import urllib.parse

import httpx

from . import contract
from .client import NOTHING_DONE
from .waiting import wait_for

TIMEOUT = 60  # of one step; a test that gets there has failed


def connect(url, window=None):
    """A connection to a gateway; `window` keeps little for a test that does not read."""
    address = urllib.parse.urlsplit(url)
    sock = socket.socket()
    if window is not None:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, window)
    sock.settimeout(TIMEOUT)
    sock.connect((address.hostname, address.port))
    return sock


def head(token, method, path, *lines, version="HTTP/1.1"):
    """A request's head. Lines are as they are, with whatever a test puts into them."""
    fields = ["Host: kiln", f"Authorization: Bearer {token}", *lines]
    return "\r\n".join([f"{method} {path} {version}", *fields, "", ""]).encode("latin-1")


def read_all(sock):
    """Until the other side has ended the connection, in whatever way."""
    received = b""
    with contextlib.suppress(ConnectionError):
        while chunk := sock.recv(65536):
            received += chunk
    return received


def exchange(url, data, shut=True):
    """Bytes in, all bytes out until the gateway closes. `shut`: tell it that nothing more comes."""
    with connect(url) as sock:
        with contextlib.suppress(OSError):  # it may have closed already
            sock.sendall(data)
            if shut:
                sock.shutdown(socket.SHUT_WR)
        return read_all(sock)


class Answer:
    """One answer of several on a connection."""

    def __init__(self, status, headers, body):
        self.status = status
        self.headers = headers
        self.body = body

    def __repr__(self):
        return f"<{self.status} {self.body[:200]!r}>"

    @property
    def slug(self):
        return json.loads(self.body)["type"].removeprefix("/problems/")

    def against_contract(self, method, path):
        """What the contract of that route does not allow of it, in sentences."""
        return contract.find(method, path).judge_answer(self.status, httpx.Headers(self.headers), self.body)

    @property
    def is_undecided(self):
        return self.status == 503 and self.slug in (*NOTHING_DONE, "outcome-unknown")


def _head_of(data):
    """(status, fields, what is behind the head)"""
    top, separator, rest = data.partition(b"\r\n\r\n")
    assert separator, f"no whole head: {data[:300]!r}"
    first, *lines = top.split(b"\r\n")
    match = re.fullmatch(rb"HTTP/1\.1 ([1-5]\d\d) [ -~]+", first)
    assert match, f"no status line: {first!r}"
    headers = {}
    for line in lines:
        assert re.fullmatch(rb"[A-Za-z-]+: [ -~]*", line), f"no header field: {line!r}"
        name, _, value = line.decode().partition(": ")
        assert name.lower() not in headers or name.lower() == "connection", f"{name} twice"
        headers[name.lower()] = value
    return int(match[1]), headers, rest


def answer_to_head(data):
    """The one answer to a HEAD in what came: nothing may be behind its head, whatever length that tells."""
    status, headers, rest = _head_of(data)
    assert not rest, f"a body: {rest[:200]!r}"
    return Answer(status, headers, rest)


def _one(data):
    status, headers, rest = _head_of(data)
    size = int(headers.get("content-length", 0))
    assert len(rest) >= size, f"{len(rest)} bytes of a body of {size}"
    return Answer(status, headers, rest[:size]), rest[size:]


def answers(data):
    """All answers in what came; nothing else may be in it."""
    found = []
    while data:
        answer, data = _one(data)
        found.append(answer)
    return found


def decided(url, data):
    """All answers, asked again as long as one of them says that the gateway could not do or tell it in its time (client.py)."""
    while True:
        found = answers(exchange(url, data))
        if not any(answer.is_undecided for answer in found):
            return found


def read_answer(sock):
    """The next answer on a connection that stays open."""
    received = b""
    while True:
        chunk = sock.recv(65536)
        received += chunk
        with contextlib.suppress(AssertionError):
            answer, rest = _one(received)
            assert not rest
            return answer
        assert chunk, f"the connection ended with {received[:300]!r}"


def endless(start, piece):
    """Bytes for as long as a test may take."""
    yield from start
    end = time.monotonic() + TIMEOUT
    while time.monotonic() < end:
        yield from piece


def drip(sock, data):
    """Sends a byte whenever nothing has come back for a moment; all that came, when the gateway has ended it."""
    sock.settimeout(0.05)
    received = b""
    with contextlib.suppress(ConnectionError, ssl.SSLError):  # ended in whatever way
        for byte in data:
            sock.sendall(bytes([byte]))
            with contextlib.suppress(TimeoutError):
                while chunk := sock.recv(65536):
                    received += chunk
                return received
        raise AssertionError("the gateway has waited all the time")
    return received


def reset(sock):
    """Ends a connection as a process does that is killed with input unread."""
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    sock.close()


def sockets_of(pid, port):
    """How many descriptors of a process are connections of one of its listening ports."""
    inodes = set()
    for link in pathlib.Path("/proc", str(pid), "fd").iterdir():
        with contextlib.suppress(OSError):
            inodes.add(str(link.readlink()))
    rows = [line.split() for line in pathlib.Path("/proc", str(pid), "net/tcp").read_text(encoding="ascii").splitlines()[1:]]
    return sum(1 for row in rows if int(row[1].rpartition(":")[2], 16) == port and row[3] != "0A" and f"socket:[{row[9]}]" in inodes)


def open_connections(gateway):
    return gateway.metric("kiln_http_connections")


def nothing_is_left(gateway):
    """No connection is counted, and none has a descriptor."""
    port = int(gateway.url.rpartition(":")[2])
    wait_for(lambda: open_connections(gateway) == 0, "the connections to be closed")
    wait_for(lambda: sockets_of(gateway.process.pid, port) == 0, "their descriptors to be closed")


def serves(gateway, kiln):
    """A client that comes now gets its answer."""
    data = head(kiln.api.token, "GET", "/me", "Connection: close")
    return [answer.status for answer in answers(exchange(gateway.url, data))] == [200]
