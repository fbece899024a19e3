"""Limits of requests: who asks for more than its share is told so at once, and nobody else notices; tokens are not guessed."""

import http.client
import json
import re
import secrets
import socket
import threading
import urllib.parse

import pytest
from kiln_testing import contract
from kiln_testing.agents import waiting_spec
from kiln_testing.client import slug
from kiln_testing.relay import Relay
from kiln_testing.services import environment_of, ready_gateway
from kiln_testing.waiting import wait_for

RATE = 40  # requests per second; a quarter of it may come at once
FAILURES = 5
FLOOD = 100
WEAK_FAILURES = 6
TOKEN_RATE = 5


@pytest.fixture(scope="module")
def limited(shared_system):
    """A gateway with small limits, beside the shared one."""
    with ready_gateway(shared_system, KILN_MAX_REQUEST_RATE=str(RATE), KILN_MAX_AUTH_FAILURES=str(FAILURES)) as gateway:
        yield gateway


@pytest.fixture(scope="module")
def narrow(shared_system):
    """A gateway with the least limit, which a few tokens overload, and no streams."""
    with ready_gateway(shared_system, KILN_MAX_REQUEST_RATE="1", KILN_MAX_STREAMS_PER_TOKEN="0") as gateway:
        yield gateway


@pytest.fixture(scope="module")
def weak(shared_system):
    """A gateway with a limit for each token alone, and one worker; (gateway, the relay to its Postgres)."""
    relay, url = Relay.of_url(environment_of(shared_system.pids("GATEWAY")[0])["KILN_DATABASE_URL"])
    variables = {
        "KILN_DATABASE_URL": url,
        "KILN_WORKERS": "1",
        "KILN_WORKER_QUEUE": "1",
        "KILN_MAX_AUTH_FAILURES": str(WEAK_FAILURES),
        "KILN_MAX_REQUEST_RATE_PER_TOKEN": str(TOKEN_RATE),
    }
    try:
        with ready_gateway(shared_system, **variables) as gateway:
            yield gateway, relay
    finally:
        relay.close()


def share(headers):
    """All that an answer tells of the token's share: q, w, r, t."""
    found = {}
    for name in ("RateLimit-Policy", "RateLimit"):
        assert re.fullmatch(r'"share"(;[a-z]=[0-9]+){2}', headers.get(name, "")), f"{name}: {headers.get(name)}"
        found |= {key: int(value) for key, value in re.findall(r";([a-z])=([0-9]+)", headers.get(name))}
    assert sorted(found) == ["q", "r", "t", "w"]
    return found


def new_client(kiln, gateway, scopes=("builds:read", "builds:write")):
    """A client of the limited gateway that owes nothing, with a token that the gateway knows; nobody else owes much."""
    client = kiln.at(gateway, kiln.token(scopes))

    def fresh():
        answer = client.get("/me")
        return answer.status_code == 200 and share(answer.headers)["r"] >= RATE // 4 - 1

    wait_for(fresh, "all that was owed to be paid back", poll=0.2)
    return client


class Pipeline:
    """What HTTPResponse takes for a socket: one buffer for all answers, which none of them closes."""

    def __init__(self, file):
        self.read, self.readinto, self.readline = file.read, file.readinto, file.readline

    def makefile(self, _mode):
        return self

    def flush(self):
        pass

    def close(self):
        pass


ME = ("GET", "/me", b"")


def flood(client, requests=(ME,) * FLOOD):
    """All these requests at once, on one connection: [(status, headers, body)], each as the contract says."""
    address = urllib.parse.urlsplit(client.url)
    text, answers = b"", []
    for method, path, body in requests:
        text += f"{method} {path} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {client.token}\r\n".encode()
        text += f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n".encode() if body else b""
        text += b"\r\n" + body
    with socket.create_connection((address.hostname, address.port), timeout=60) as sock:
        sock.sendall(text)
        with sock.makefile("rb") as file:
            for method, path, _ in requests:
                answer = http.client.HTTPResponse(Pipeline(file), method=method)
                answer.begin()
                content = answer.read()
                wrong = contract.find(method, path).judge_answer(answer.status, answer.headers, content)
                assert not wrong, wrong
                answers.append((answer.status, answer.headers, json.loads(content)))
    return answers


def overload(client):
    """Answers of a flood of which a part was more than the token's share."""

    def too_much():
        answers = flood(client)
        return answers if {status for status, *_ in answers} == {200, 429} else None

    return wait_for(too_much, "a part of a flood to be too much")


def test_beyond_its_share_a_token_is_told_when_to_come_again(kiln, limited):
    client = new_client(kiln, limited)
    answers = overload(client)
    for status, headers, body in answers:
        assert status in (200, 429)
        told = share(headers)
        assert 1 <= told["q"] <= RATE and told["w"] == told["t"] == 1
        if status == 429:
            assert body["type"] == "/problems/too-many-requests"
            assert told["r"] == 0 and int(headers["Retry-After"]) == told["t"]
        else:
            assert told["r"] < RATE // 4 and "Retry-After" not in headers
    refused = sum(status == 429 for status, *_ in answers)
    assert limited.metric("kiln_gateway_limited_requests_total") >= refused
    wait_for(lambda: client.get("/me").status_code == 200, "the token to be served again")


def test_what_a_share_tells_may_come_at_once(kiln, limited):
    client = new_client(kiln, limited)
    remaining = share(client.get("/me", expect=200).headers)["r"]
    assert remaining > 0
    assert [status for status, *_ in flood(client, [ME] * remaining)] == [200] * remaining


def test_a_refused_request_is_not_read_and_does_nothing(kiln, limited):
    client = new_client(kiln, limited)
    path = f"/projects/{kiln.project()['id']}/builds"
    good = json.dumps(waiting_spec()).encode()
    accepted, perhaps, broken = set(), set(), set()

    def refused():
        """The share is used up by others, and then come these two, if nothing holds them up."""
        *_, (status, _, body), (status_of_broken, *_) = flood(client, [*[ME] * FLOOD, ("POST", path, good), ("POST", path, b'{"prompt":')])
        broken.add(status_of_broken)
        if status == 202:
            accepted.add(body["task_id"])
        elif "task_id" in body:  # a busy machine: whether it was accepted is not known
            perhaps.add(body["task_id"])
        return status == status_of_broken == 429

    wait_for(refused, "a build and a broken body to be refused")
    assert broken <= {400, 429, 503}  # 503: a busy machine, as above

    def builds():
        return {item["task_id"] for item in kiln.api.pages(path, limit=500)}

    wait_for(lambda: builds() >= accepted, "the accepted builds")
    assert builds() <= accepted | perhaps


def test_a_second_token_within_its_share_notices_nothing(kiln, limited):
    greedy, modest = new_client(kiln, limited), new_client(kiln, limited)
    refused, stop = [], threading.Event()

    def ask_for_more():
        while not stop.is_set():
            refused.extend(status for status, *_ in flood(greedy) if status == 429)

    thread = threading.Thread(target=ask_for_more)
    thread.start()
    try:
        wait_for(lambda: refused, "the first token to be refused")
        for _ in range(RATE // 4 // 2 - 1):  # half of what may come at once
            modest.get("/me", expect=200)
        before = len(refused)
        wait_for(lambda: len(refused) > before, "the first token to be refused again")
    finally:
        stop.set()
        thread.join()


def test_without_a_limit_nothing_is_told_of_shares(kiln):
    headers = kiln.api.get("/me", expect=200).headers
    assert "RateLimit" not in headers and "RateLimit-Policy" not in headers


def test_guessing_tokens_is_limited_and_disturbs_nobody_at_the_same_address(kiln, limited):
    known = new_client(kiln, limited)
    nobody = kiln.at(limited).with_token(None)
    for _ in range(3 * FAILURES):  # no guess: not counted
        nobody.get("/me", expect=401)

    def guess():
        return nobody.with_token(secrets.token_urlsafe(32)).get("/me", expect=(401, 429))

    assert slug(guess()) == "unauthorized"
    answer = wait_for(lambda: answer if (answer := guess()).status_code == 429 else None, "guesses to be too many")
    assert slug(answer) == "too-many-requests"
    assert 1 <= int(answer.headers["Retry-After"]) <= 60 // FAILURES
    assert "RateLimit" not in answer.headers
    known.get("/me", expect=200)
    kiln.at(limited).get("/me", expect=200)
    nobody.get("/me", expect=401)
    wait_for(lambda: guess().status_code == 429, "guesses to be too many again, if one was free meanwhile")


def test_where_too_many_tokens_ask_a_new_one_is_503_and_told_when_to_come(kiln, narrow):
    clients = [kiln.at(narrow, kiln.token(["builds:read"])) for _ in range(24)]  # 16 may owe a request each

    def refused():
        answers = (client.get("/me", expect=(200, 429, 503)) for client in clients)
        return next((answer for answer in answers if answer.status_code == 503 and slug(answer) == "overloaded"), None)

    answer = wait_for(refused, "the gateway to be full")
    told = share(answer.headers)
    assert told["q"] == 1 and told["r"] == 0
    assert int(answer.headers["Retry-After"]) == told["t"] >= told["w"] > 1
    assert narrow.metric('kiln_gateway_limited_requests_total{reason="gateway"}') >= 1


def test_what_refuses_a_request_after_its_share_says_retry_after_no_earlier(kiln, narrow):
    path = f"/projects/{kiln.project()['id']}/events"

    def refused():
        """A token's first request is not beyond its share: a 429 is the limit of streams."""
        client = kiln.at(narrow, kiln.token(["builds:read"]))
        answer = client.get(path, headers={"Accept": "text/event-stream"}, expect=(429, 503))
        return answer if answer.status_code == 429 and share(answer.headers)["t"] > 1 else None

    answer = wait_for(refused, "a stream to be refused while a share's window is long")
    assert int(answer.headers["Retry-After"]) >= share(answer.headers)["t"]


def test_a_token_has_a_limit_of_its_own_which_is_no_other_tokens(kiln, weak):
    greedy, modest = (kiln.at(weak[0], kiln.token(["builds:read"])) for _ in range(2))
    for status, headers, _ in overload(greedy):
        told = share(headers)
        assert (told["q"], told["w"], told["t"]) == (TOKEN_RATE, 1, 1)
        assert told["r"] < TOKEN_RATE if status == 200 else told["r"] == 0
    modest.get("/me", expect=200)


def test_a_look_up_that_could_not_be_made_is_no_guess(kiln, weak):
    gateway, relay = weak
    stop = threading.Event()
    wrong = []

    def guess():
        return kiln.at(gateway).with_token(secrets.token_urlsafe(32)).get("/me")

    def look_up_nothing():
        """Keeps the worker or its queue busy."""
        while not stop.is_set():
            answer = guess()
            if answer.status_code != 503:
                wrong.append(answer.text)

    def overloaded():
        """More guesses than an address has are refused because the worker waits for Postgres, and one request for the worker."""
        relay.set_mode("pass", cut=True)
        wait_for(lambda: relay.passed > 0 and gateway.metric("kiln_gateway_database_up") == 1, "Postgres to be found again")
        relay.set_mode("hold")
        threads = [threading.Thread(target=look_up_nothing) for _ in range(2)]
        stop.clear()
        for thread in threads:
            thread.start()
        try:
            answers = [guess() for _ in range(2 * WEAK_FAILURES)]
        finally:
            stop.set()
            relay.set_mode("refuse")
            for thread in threads:
                thread.join()
        wrong.extend(answer.text for answer in answers if answer.status_code != 503)
        return wrong or sum(slug(answer) == "overloaded" for answer in answers) > WEAK_FAILURES

    wait_for(overloaded, "guesses to find the worker's queue full", 90)
    assert not wrong
    for _ in range(2 * WEAK_FAILURES):  # and so is what failed
        assert slug(guess()) == "database-unavailable"
    relay.set_mode("pass")
    answer = wait_for(lambda: answer if (answer := guess()).status_code != 503 else None, "Postgres to be found again")
    assert slug(answer) == "unauthorized"
