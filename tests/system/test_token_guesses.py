"""Tokens are not guessed: whatever is wrong with one, the gateway does and says the same, and keeps nothing of it."""

import hashlib
import pathlib
import secrets
import socket
import urllib.parse

import pytest
from kiln_testing import raw
from kiln_testing.relay import Relay
from kiln_testing.services import environment_of, ready_gateway
from kiln_testing.waiting import wait_for

LONGEST = 512  # bytes of a token
PART = 8  # characters of a token that are its part
WARM, GUESSES = 4000, 16000
ROUNDS = 3  # at most: what a busy machine adds to one of them, it does not add to all
KEPT_BYTES = 64  # of a guess that is kept at least: its digest and what points to it


@pytest.fixture(scope="module")
def heard(shared_system):
    """(a gateway that counts no guesses, the relay to its Postgres)"""
    relay, url = Relay.of_url(environment_of(shared_system.pids("GATEWAY")[0])["KILN_DATABASE_URL"])
    try:
        with ready_gateway(shared_system, KILN_DATABASE_URL=url, KILN_MAX_AUTH_FAILURES="0") as gateway:
            yield gateway, relay
    finally:
        relay.close()


def other(character):
    return "b" if character == "a" else "a"


def revoked(kiln, gateway):
    """The text of a token that this gateway knew and has forgotten."""
    client = kiln.token(["builds:read"])
    there = kiln.at(gateway, client)
    there.get("/me", expect=200)
    kiln.api.delete(f"/tokens/{client.id}", expect=204)
    wait_for(lambda: there.get("/me").status_code == 401, "the token to be forgotten")
    return client.token


WRONG = {
    "random": lambda good, _: secrets.token_urlsafe(len(good) * 3 // 4),
    "all but the last character": lambda good, _: good[:-1] + other(good[-1]),
    "all but the first character": lambda good, _: other(good[0]) + good[1:],
    "the beginning": lambda good, _: good[:-1],
    "more": lambda good, _: good + "a",
    "revoked": lambda _, revoked: revoked,
    "short": lambda _good, _: "~" + secrets.token_urlsafe(9),
    "no token's alphabet": lambda _good, _: "\xe9'; --" + secrets.token_urlsafe(9),
    "the longest": lambda _good, _: secrets.token_hex(LONGEST // 2),
}


def refused(gateway, token):
    """What the gateway says to it, without what is different of any two requests."""
    answer, *_ = raw.decided(gateway.url, raw.head(token, "GET", "/me", "X-Request-Id: same"))
    assert answer.status == 401
    return answer.body, {name: value for name, value in answer.headers.items() if name != "date"}


@pytest.mark.parametrize("wrong", WRONG)
def test_of_a_wrong_token_postgres_is_asked_once_by_its_whole_digest_alone(kiln, heard, wrong):
    gateway, relay = heard
    good = kiln.token(["builds:read"])
    kiln.at(gateway, good).get("/me", expect=200)  # it is in memory
    token = WRONG[wrong](good.token, revoked(kiln, gateway))
    data = token.encode("latin-1")
    digest = hashlib.sha256(data).hexdigest().encode()

    def asked_once():
        asked = relay.record()
        answer, *_ = raw.answers(raw.exchange(gateway.url, raw.head(token, "GET", "/me")))
        if answer.status == 503:  # a busy machine's Postgres
            return False
        assert answer.status == 401
        for part in (data[:PART], data[-PART:]):
            assert part not in asked, "a part of the token itself"
        return asked.count(digest) == 1 and asked.count(digest[:PART]) == 1

    wait_for(asked_once, "one look-up", 20)


def test_all_wrong_tokens_are_answered_alike(kiln, heard):
    gateway, _ = heard
    good, gone = kiln.token(["builds:read"]).token, revoked(kiln, gateway)
    answers = {wrong: refused(gateway, make(good, gone)) for wrong, make in WRONG.items()}
    assert len({repr(answer) for answer in answers.values()}) == 1, answers


def test_what_is_too_long_for_a_token_is_not_looked_up(kiln, heard):
    gateway, relay = heard
    token = secrets.token_hex(LONGEST // 2) + "a"
    asked = relay.record()
    for _ in range(3):
        refused(gateway, token)
    assert hashlib.sha256(token.encode()).hexdigest().encode() not in asked and token[:PART].encode() not in asked


def guess(gateway, count):
    """So many different tokens, pipelined; how many were looked up, or were too many."""
    address = urllib.parse.urlsplit(gateway.url)
    found = {}
    with socket.create_connection((address.hostname, address.port), timeout=raw.TIMEOUT) as sock, sock.makefile("rb") as answers:
        for _ in range(count // 100):
            sock.sendall(b"".join(raw.head(secrets.token_urlsafe(32), "GET", "/me") for _ in range(100)))
            for _ in range(100):
                status, length = int(answers.readline().split()[1]), 0
                while (line := answers.readline()) != b"\r\n":
                    length = int(line.split()[1]) if line.lower().startswith(b"content-length:") else length
                answers.read(length)
                found[status] = found.get(status, 0) + 1
    return found


def resident_kib(gateway):
    lines = pathlib.Path("/proc", str(gateway.process.pid), "status").read_text(encoding="ascii").splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmRSS:"))


@pytest.mark.parametrize(("limit", "status"), [("0", 401), ("5", 429)], ids=["looked up", "limited"])
def test_guesses_are_not_kept(kiln, limit, status):
    with ready_gateway(kiln.system, KILN_MAX_AUTH_FAILURES=limit) as gateway:
        guess(gateway, WARM)
        kept, grown = GUESSES * KEPT_BYTES // 1024, []
        while len(grown) < ROUNDS and min(grown, default=kept) >= kept:
            before = resident_kib(gateway)
            found = guess(gateway, GUESSES)
            assert found[status] > GUESSES // 2, found
            grown.append(resident_kib(gateway) - before)
            print(f"{GUESSES} guesses: {found}; {grown[-1]} KiB more")
        assert min(grown) < kept, grown
