"""Links do what they are told."""

import contextlib
import socket
import struct
import threading

import pytest
from kiln_testing.waiting import wait_for
from links import Links

PATIENCE_S = 60


class Echo:
    """Says again what it hears."""

    def __init__(self):
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self):
        with contextlib.suppress(OSError):
            while True:
                threading.Thread(target=self._talk, args=self.listener.accept()[:1], daemon=True).start()

    @staticmethod
    def _talk(sock):
        with contextlib.suppress(OSError):
            while data := sock.recv(65536):
                sock.sendall(data)

    def close(self):
        self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()


@pytest.fixture
def echo():
    server = Echo()
    yield server
    server.close()


@pytest.fixture
def links(echo):
    made = Links({"plain": ("127.0.0.1", echo.port, None), "broker": ("127.0.0.1", echo.port, "kafka")})
    yield made
    made.close()


def call(links, name="plain"):
    sock = socket.create_connection(("127.0.0.1", links.ports[name]), PATIENCE_S)
    sock.settimeout(PATIENCE_S)
    return sock


def said(sock, data=b"hello"):
    sock.sendall(data)
    return hears(sock, data)


def hears(sock, data):
    got = b""
    while len(got) < len(data) and (more := sock.recv(65536)):
        got += more
    return got == data


def test_a_link_passes_on(links):
    with call(links) as sock:
        assert said(sock)
        assert said(sock, bytes(300000))


@pytest.mark.parametrize("mode", ["hold", "requests", "answers"])
def test_what_is_held_comes_late_and_is_felt(links, mode):
    with call(links) as sock:
        assert said(sock)
        links.set(["plain"], mode)
        sock.sendall(b"late")
        wait_for(lambda: links.touched(["plain"]) > 0, "the link to hold something")
        sock.setblocking(False)
        with pytest.raises(BlockingIOError):
            sock.recv(10)
        sock.settimeout(PATIENCE_S)
        links.set(["plain"], "pass")
        assert hears(sock, b"late")


def test_a_cut_link_resets_and_refuses_until_it_is_healed(links):
    with call(links) as sock:
        assert said(sock)
        links.set(["plain"], "cut")
        with contextlib.suppress(ConnectionError):
            assert sock.recv(10) == b""
    with call(links) as sock, contextlib.suppress(ConnectionError):
        assert sock.recv(10) == b""
    assert links.touched(["plain"]) >= 2
    links.set(["plain"], "pass")
    with call(links) as sock:
        assert said(sock)


def test_a_delay_slows_each_chunk_and_is_felt(links):
    links.set(["plain"], "pass", 0.05)
    with call(links) as sock:
        assert said(sock)
    assert links.touched(["plain"]) >= 2


def test_answers_of_a_broker_name_the_link(links, echo):
    address = b"127.0.0.1" + struct.pack(">i", echo.port)
    ours = b"127.0.0.1" + struct.pack(">i", links.ports["broker"])
    with call(links, "broker") as sock:
        frame = struct.pack(">i", len(address) + 4) + b"ab" + address + b"cd"
        sock.sendall(frame)
        assert hears(sock, struct.pack(">i", len(ours) + 4) + b"ab" + ours + b"cd")
