"""127.0.0.1:8080 in the sandbox is the model proxy's socket outside, and nothing else is there."""
import contextlib
import socket
import threading

import pytest

CLIENT = """#!/usr/bin/python3 -SE
import socket, sys
def connect():
    s = socket.create_connection(("127.0.0.1", 8080), 20)
    return s
def read_all(s):
    got = b""
    while True:
        part = s.recv(65536)
        if not part: return got
        got += part
"""


@contextlib.contextmanager
def proxy(world, serve):
    """Something that listens where the proxy would; `serve` gets each connection on a thread of its own."""
    path = world.state / "work" / "model.sock"
    path.unlink(missing_ok=True)
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(str(path))
    path.chmod(0o777)
    listener.listen(8)
    threads = []

    def accept():
        while True:
            try:
                client, _ = listener.accept()
            except OSError:
                return
            threads.append(threading.Thread(target=serve, args=(client,), daemon=True))
            threads[-1].start()

    acceptor = threading.Thread(target=accept, daemon=True)
    acceptor.start()
    try:
        yield str(path)
    finally:
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        acceptor.join()
        for thread in threads:
            thread.join(20)


def echo(client):
    """What came, when the other side has said that it is all."""
    with client:
        got = b""
        while part := client.recv(65536):
            got += part
        client.sendall(b"<" + got + b">")


def test_bytes_go_both_ways_and_each_side_says_when_it_is_done(world):
    script = CLIENT + "s = connect(); s.sendall(b'hello'); s.shutdown(socket.SHUT_WR); print(read_all(s).decode())\n"
    with proxy(world, echo) as path:
        said = world.run("bwrap", script, KILN_TEST_MODEL_SOCKET=path)
    assert said["output"] == "<hello>\n", said


def test_large_bodies_are_whole_also_many_at_once(world):
    script = CLIENT + """
import hashlib, threading
wrong = []
def one(i):
    body = hashlib.sha256(str(i).encode()).digest() * 100000
    s = connect(); s.sendall(body); s.shutdown(socket.SHUT_WR)
    if read_all(s) != b"<" + body + b">": wrong.append(i)
threads = [threading.Thread(target=one, args=(i,)) for i in range(8)]
for t in threads: t.start()
for t in threads: t.join()
print("wrong", wrong)
"""
    with proxy(world, echo) as path:
        said = world.run("bwrap", script, KILN_TEST_MODEL_SOCKET=path)
    assert said["output"] == "wrong []\n", said


def test_more_connections_than_the_relay_has_at_once_wait_for_their_turn(world):
    script = CLIENT + """
held = [connect() for _ in range(300)]
good = 0
for s in held:
    s.settimeout(50)
    s.sendall(b"x"); s.shutdown(socket.SHUT_WR)
    good += read_all(s) == b"<x>"
    s.close()
print(good)
"""
    with proxy(world, echo) as path:
        said = world.run("bwrap", script, KILN_TEST_MODEL_SOCKET=path)
    assert said["output"] == "300\n", said


def test_a_stream_arrives_as_it_is_sent(world):
    """The second word is sent only after the agent has answered the first."""

    def serve(client):
        with client:
            client.sendall(b"one")
            if client.recv(10) == b"ack":
                client.sendall(b"two")

    script = CLIENT + "s = connect(); a = s.recv(10); s.sendall(b'ack'); print(a.decode(), read_all(s).decode())\n"
    with proxy(world, serve) as path:
        said = world.run("bwrap", script, KILN_TEST_MODEL_SOCKET=path)
    assert said["output"] == "one two\n", said


def test_a_proxy_that_hangs_up_is_seen_by_the_agent(world):
    script = CLIENT + "s = connect()\ntry: print('end', read_all(s))\nexcept ConnectionError: print('end')\n"
    with proxy(world, lambda client: client.close()) as path:
        said = world.run("bwrap", script, KILN_TEST_MODEL_SOCKET=path)
    assert said["output"].startswith("end"), said


@pytest.mark.parametrize("port", [8080, 80, 5432, 9092])
def test_without_a_proxy_nobody_listens(world, port):
    said = world.run("bwrap", f"#!/usr/bin/python3 -SE\nimport socket\ns = socket.socket()\nprint(s.connect_ex(('127.0.0.1', {port})))\n")
    assert said["output"] == "111\n", said


def test_the_agent_ends_while_connections_are_open(world):
    script = CLIENT + "s = connect(); s.sendall(b'x'); print('done')\n"
    with proxy(world, echo) as path:
        said = world.run("bwrap", script, KILN_TEST_MODEL_SOCKET=path)
    assert said["success"] and said["output"] == "done\n", said
