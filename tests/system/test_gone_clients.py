"""Clients that are gone, at each phase of a request: nothing is left of them, and the gateway serves on. During TLS's handshake: test_tls.py."""

import contextlib
import dataclasses
import hashlib
import json
import re
import secrets
import socket
import uuid
from collections.abc import Callable

import pytest
from kiln_testing import raw
from kiln_testing.agents import waiting_spec
from kiln_testing.raw import nothing_is_left, serves
from kiln_testing.relay import far_gateway
from kiln_testing.services import ready_gateway
from kiln_testing.waiting import TooLate, wait_for

TYPE = "Content-Type: application/json"
BUILD = waiting_spec()
# No deadline ends what a gateway has not noticed.
PATIENT = {f"KILN_{name}_TIMEOUT_MS": "600000" for name in ("HEADER", "BODY", "IDLE", "WRITE", "REQUEST")}
each_end = pytest.mark.parametrize("end", [socket.socket.close, raw.reset], ids=["closed", "reset"])


@pytest.fixture(scope="module")
def patient(shared_system):
    """Alone with the clients of one test."""
    with ready_gateway(shared_system, **PATIENT) as gateway:
        yield gateway


def test_a_client_that_has_said_all_still_gets_its_answer(kiln, patient):
    project = kiln.project()
    path, body = f"/projects/{project['id']}/builds", b'{"prompt":"x","agent":{"provider":"command","command":"none"},"labels":["no"]}'
    for data, status in (
        (raw.head(kiln.api.token, "GET", "/openapi.json"), 200),
        (raw.head(kiln.api.token, "GET", path), 200),
        (raw.head(kiln.api.token, "POST", path, TYPE, f"Content-Length: {len(body)}") + body, 202),
    ):
        assert [answer.status for answer in raw.decided(patient.url, data)] == [status]
    nothing_is_left(patient)


@each_end
def test_clients_that_are_gone_in_the_middle_leave_nothing(kiln, patient, end):
    project = kiln.project()
    path, token = f"/projects/{project['id']}/builds", kiln.api.token
    head = raw.head(token, "POST", path, TYPE, "Content-Length: 100")
    parts = [b"", b"PO", head[:-30], head, head + b'{"prompt":', raw.head(token, "POST", path, TYPE, "Transfer-Encoding: chunked") + b"5\r\n{"]
    for data in parts:
        sock = raw.connect(patient.url)
        sock.sendall(data)
        end(sock)
    sock = raw.connect(patient.url, window=4096)
    sock.sendall(raw.head(token, "GET", "/openapi.json"))
    assert sock.recv(1000).startswith(b"HTTP/1.1 200 ")
    end(sock)
    nothing_is_left(patient)
    assert serves(patient, kiln)
    assert not kiln.api.pages(path)


def test_the_build_of_a_client_that_is_gone_before_its_answer_exists(kiln, patient):
    body = b'{"prompt":"x","agent":{"provider":"command","command":"none"},"labels":["nobody-has-this"]}'

    def accepted():
        return patient.metric("kiln_builds_accepted_total")

    for _ in range(5):
        path, before = f"/projects/{kiln.project()['id']}/builds", accepted()
        for _ in range(10):
            sock = raw.connect(patient.url)
            sock.sendall(raw.head(kiln.api.token, "POST", path, TYPE, f"Content-Length: {len(body)}") + body)
            sock.close()
        nothing_is_left(patient)
        with contextlib.suppress(TooLate):  # a busy machine's Kafka was too slow for some of them
            wait_for(lambda n=before: accepted() == n + 10, "all builds to be accepted", 20)
            break
    wait_for(lambda: len(kiln.api.pages(path)) == 10, "all builds to be there")


# -- while Postgres is asked for them


@dataclasses.dataclass
class Asked:
    """A request that is in its phase when Postgres has been sent `mark`; without one, the digest of its token."""

    data: Callable[[], bytes]  # made when Postgres has ceased to answer
    mark: str | None
    effect: Callable[[], bool] = lambda: True  # what it has when Postgres answers

    def mark_in(self, data):
        token = re.search(rb"Bearer (\S+)", data)[1]
        return self.mark.encode() if self.mark else hashlib.sha256(token).hexdigest().encode()


def request(token, method, path, body=None, *lines):
    content = b"" if body is None else json.dumps(body).encode()
    lines = (*lines, TYPE, f"Content-Length: {len(content)}") if body is not None else lines
    return raw.head(token, method, path, *lines) + content


def unknown_token(kiln):
    token = f"kiln_{secrets.token_urlsafe(32)}"
    return Asked(lambda: request(token, "GET", "/me"), None)


def new_token(kiln):
    """It is made while the gateway cannot be told of it."""
    path = f"/projects/{kiln.project()['id']}/builds"
    return Asked(lambda: request(kiln.token(["builds:write"]).token, "POST", path, BUILD), None, lambda: len(kiln.api.pages(path)) == 1)


def create_and_build(kiln):
    name = kiln.name()
    body = {"project": {"name": name}, "build": BUILD}

    def has_its_build():
        return len(kiln.api.get(f"/projects/{name}/builds", expect=(200, 404)).json().get("items", [])) == 1

    return Asked(lambda: request(kiln.api.token, "POST", "/project/create-and-build", body), name, has_its_build)


def patch(kiln):
    path, text = f"/projects/{kiln.project()['id']}", kiln.name("description")

    def is_changed():
        return kiln.api.get(path, expect=200).json()["description"] == text

    return Asked(lambda: request(kiln.api.token, "PATCH", path, {"description": text}, "If-Match: *"), path.rpartition("/")[2], is_changed)


def read_by_a_worker(kiln):
    name = kiln.api.post("/templates", {"name": kiln.name("t"), "text": "x"}, expect=201).json()["name"]
    return Asked(lambda: request(kiln.api.token, "GET", f"/templates/{name}"), name)


def read_of_a_build(kiln):
    task = kiln.waiting()
    kiln.tap.wait_type(task, "build.pending")
    return Asked(lambda: request(kiln.api.token, "GET", f"/builds/{task}"), task)


each_phase = pytest.mark.parametrize(
    "phase", [unknown_token, new_token, create_and_build, patch, read_by_a_worker, read_of_a_build], ids=lambda phase: phase.__name__
)


@pytest.fixture(name="far", scope="module")
def far_fixture(shared_system):
    """(a gateway of one worker, the relay to its Postgres)"""
    with far_gateway(shared_system, KILN_WORKERS="1", **PATIENT) as (gateway, postgres, _):
        yield gateway, postgres


@pytest.fixture(name="hasty", scope="module")
def hasty_fixture(shared_system):
    """The same, with little time for a request."""
    with far_gateway(shared_system, KILN_WORKERS="1", **PATIENT | {"KILN_REQUEST_TIMEOUT_MS": "1000"}) as (gateway, postgres, _):
        yield gateway, postgres


def sent(gateway, data):
    sock = raw.connect(gateway.url)
    sock.sendall(data)
    return sock


def answers_by_all_of_its_sessions(gateway, kiln):
    """Of the worker, which takes one request after the other, and of who reads builds: they have connected to Postgres, and are free."""
    for path, status in (("/templates?limit=1", 200), (f"/builds/{uuid.uuid4()}", 404)):
        asked = raw.head(kiln.api.token, "GET", path, "Connection: close")
        wait_for(lambda data=asked, wanted=status: [answer.status for answer in raw.decided(gateway.url, data)] == [wanted], f"{path} to be answered")
    assert gateway.metric("kiln_gateway_queued_requests") == 0


@contextlib.contextmanager
def gone(kiln, far, phase, end):
    """In the block Postgres does not answer, and the client who waits for that is gone; gives what he has asked."""
    gateway, postgres = far
    while True:
        asked = phase(kiln)
        answers_by_all_of_its_sessions(gateway, kiln)
        with postgres.stalled() as told:
            data = asked.data()
            mark = asked.mark_in(data)
            sock = sent(gateway, data)
            # On a busy machine the gateway may have found that Postgres is away, and asks no more.
            wait_for(lambda: mark in told or gateway.metric("kiln_gateway_database_up") == 0, "Postgres to be asked")
            end(sock)
            if mark in told:
                yield asked
                return


@each_phase
@each_end
def test_a_client_that_is_gone_before_postgres_answers_leaves_nothing_and_its_wish_is_done(kiln, far, phase, end):
    gateway, _ = far
    with gone(kiln, far, phase, end) as asked:
        pass
    nothing_is_left(gateway)
    answers_by_all_of_its_sessions(gateway, kiln)
    wait_for(asked.effect, "what it wanted")


@each_phase
@each_end
def test_a_client_that_is_gone_leaves_nothing_after_its_time_while_postgres_does_not_answer(kiln, hasty, phase, end):
    gateway, _ = hasty
    with gone(kiln, hasty, phase, end):
        nothing_is_left(gateway)
        assert serves(gateway, kiln)  # by what the gateway knows
    answers_by_all_of_its_sessions(gateway, kiln)


@each_end
def test_clients_that_are_gone_while_they_wait_for_a_worker_leave_nothing(kiln, far, end):
    gateway, _ = far
    others = [patch(kiln) for _ in range(3)]
    with gone(kiln, far, patch, end) as first:
        socks = [sent(gateway, asked.data()) for asked in others]
        wait_for(lambda: gateway.metric("kiln_gateway_queued_requests") == len(others), "the others to wait for the worker")
        for sock in socks:
            end(sock)
    nothing_is_left(gateway)
    answers_by_all_of_its_sessions(gateway, kiln)
    wait_for(first.effect, "what it wanted")
