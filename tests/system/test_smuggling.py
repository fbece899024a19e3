"""Requests that somebody in front of the gateway might read as other requests: one answer, 400, and the connection ends."""

import contextlib
import json

import pytest
from kiln_testing import raw
from kiln_testing.client import Client
from kiln_testing.kiln import Kiln

BODY = b'{"prompt":"x","labels":["nobody-has-this"]}'
TYPE = "Content-Type: application/json"


AGENT = {"provider": "command", "command": "none"}


@pytest.fixture(scope="module")
def place(shared_system):
    """Where nothing may be built: (a project's builds' path, the admin's token)."""
    api = Client(shared_system.url, shared_system.env["KILN_TOKEN"])
    project = api.post("/projects", {"name": Kiln.name("smuggling"), "agent": AGENT}, expect=201).json()["id"]
    path = f"/projects/{project}/builds"
    yield path, api.token
    assert api.pages(path) == []
    api.close()


@pytest.fixture
def open_place(kiln):
    """Where it may."""
    return f"/projects/{kiln.project(agent=AGENT)['id']}/builds", kiln.api.token


def refused(kiln, data, *statuses):
    """The one answer to the first request of `data`; what follows it must not be answered."""
    found = raw.answers(raw.exchange(kiln.system.url, data, shut=False))
    assert len(found) == 1, found
    assert found[0].status in statuses, found
    assert found[0].headers["connection"] == "close"
    return found[0]


def post(place, *lines, body=BODY, version="HTTP/1.1"):
    path, token = place
    return raw.head(token, "POST", path, TYPE, *lines, version=version) + body


def chunk(*parts):
    return b"".join(parts) + b"0\r\n\r\n"


def in_chunks(body=BODY):
    return chunk(b"%x\r\n%s\r\n" % (len(body), body))


LENGTH = f"Content-Length: {len(BODY)}"
CHUNKED = "Transfer-Encoding: chunked"


@pytest.mark.parametrize(
    ("lines", "body"),
    [
        ([LENGTH, LENGTH], BODY),
        ([LENGTH, "Content-Length: 6"], BODY),
        (["Content-Length: 6", LENGTH], BODY),
        ([LENGTH, CHUNKED], in_chunks()),
        ([CHUNKED, LENGTH], in_chunks()),
        ([CHUNKED, CHUNKED], in_chunks()),
        (["Transfer-Encoding: identity"], BODY),
        (["Transfer-Encoding: identity", LENGTH], BODY),
        (["Transfer-Encoding: xchunked"], in_chunks()),
        (["Transfer-Encoding: gzip, chunked"], in_chunks()),
        (["Transfer-Encoding: chunked, identity"], in_chunks()),
        (["Transfer-Encoding: chunked\x0b"], in_chunks()),
        (["Transfer-Encoding:"], BODY),
        ([f"Content-Length: {len(BODY)}, {len(BODY)}"], BODY),
        ([f"Content-Length: +{len(BODY)}"], BODY),
        (["Content-Length: 0x10"], BODY),
        (["Content-Length: 1e1"], BODY),
        (["Content-Length: -1"], BODY),
        (["Content-Length: 1 0"], BODY),
        (["Content-Length:"], BODY),
        (["Content-Length: 184467440737095516160"], BODY),
        ([f"Content-Length : {len(BODY)}"], BODY),
        (["Transfer-Encoding : chunked"], in_chunks()),
        ([f"Content-Length\t: {len(BODY)}"], BODY),
        ([LENGTH, "X: a", " folded"], BODY),
        ([LENGTH, "X: a", "\tTransfer-Encoding: chunked"], BODY),
        (["Content-Length: 4", f" {len(BODY)}"], BODY),
        ([LENGTH + "\nX: a"], BODY),
        (["X: a\n" + LENGTH], BODY),
        (["X: a\n" + CHUNKED, LENGTH], in_chunks()),
        (["X: a\r" + CHUNKED, LENGTH], BODY),
        (["X: a\x00b", LENGTH], BODY),
        (["Host: other", LENGTH], BODY),
        (["no colon", LENGTH], BODY),
        ([": no name", LENGTH], BODY),
    ],
    ids=lambda part: repr(part)[:60] if isinstance(part, list) else "",
)
def test_a_head_with_two_readings_is_400_and_the_end(kiln, place, lines, body):
    refused(kiln, post(place, *lines, body=body) + raw.head(place[1], "GET", "/me"), 400)


@pytest.mark.parametrize(
    "body",
    [
        chunk(b"0x2b\r\n", BODY, b"\r\n"),
        chunk(b"+2b\r\n", BODY, b"\r\n"),
        chunk(b"-1\r\n", BODY, b"\r\n"),
        chunk(b" 2b\r\n", BODY, b"\r\n"),
        chunk(b"2b \r\n", BODY, b"\r\n"),
        chunk(b"2b;\r\n", BODY, b"\r\n"),
        chunk(b"2b;a=b\r\n", BODY, b"\r\n"),
        chunk(b'2b;a="\r\n', BODY, b"\r\n"),
        chunk(b"2b;\n\r\n", BODY, b"\r\n"),
        chunk(b"2b\n", BODY, b"\r\n"),
        chunk(b"2b\r", BODY, b"\r\n"),
        chunk(b"2b\r\n", BODY, b"\n"),
        chunk(b"2b\r\n", BODY, b"\r\r\n"),
        chunk(b"2b\r\n", BODY, b"xx\r\n"),
        chunk(b"2a\r\n", BODY, b"\r\n"),
        chunk(b"2c\r\n", BODY, b"\r\n"),
        chunk(b"00000000000000000002b\r\n", BODY, b"\r\n"),
        chunk(b"10000000000000002b\r\n", BODY, b"\r\n"),
        chunk(b"\r\n"),
        chunk(b"rubbish"),
        b"2b\r\n" + BODY + b"\r\n0;a\r\n\r\n",
        b"2b\r\n" + BODY + b"\r\n0\n\r\n",
        b"2b\r\n" + BODY + b"\r\n0\r\n\n",
        b"2b\r\n" + BODY + b"\r\n0\r\n folded\r\n\r\n",
        b"2b\r\n" + BODY + b"\r\n0\r\nX: a\n\r\n",
    ],
    ids=lambda body: repr(body[:8] + body[-16:]),
)
def test_a_badly_chunked_body_is_400_and_the_end(kiln, place, body):
    assert len(BODY) == 0x2B
    answer = refused(kiln, post(place, CHUNKED, body=body) + raw.head(place[1], "GET", "/me"), 400)
    assert answer.slug == "bad-request"


@pytest.mark.parametrize("body", [in_chunks(), b"1\r\n{\r\n02A\r\n" + BODY[1:] + b"\r\n000\r\nX-Trailer: a\r\n\r\n"], ids=["plain", "parts"])
def test_a_well_chunked_body_and_what_follows_it_are_two_requests(kiln, open_place, body):
    data = post(open_place, CHUNKED, body=body) + raw.head(open_place[1], "GET", "/me", "Connection: close")
    accepted, me = raw.decided(kiln.system.url, data)
    assert (accepted.status, me.status) == (202, 200)


def test_http_1_0_has_no_chunks(kiln, place):
    refused(kiln, post(place, CHUNKED, body=in_chunks(), version="HTTP/1.0"), 400)


def test_a_request_without_a_host_is_400(kiln):
    refused(kiln, b"GET /openapi.json HTTP/1.1\r\n\r\n", 400)


@pytest.mark.parametrize("path", ["/nothing", "/me", "/projects/%00"])
def test_framing_is_judged_before_anything_else(kiln, place, path):
    head = raw.head(place[1], "PUT", path, "Content-Length: 3", "Content-Length: 30")
    assert refused(kiln, head + b"abcGET /me HTTP/1.1\r\n\r\n", 400).slug == "bad-request"


@pytest.mark.parametrize("rubbish", [b"\x00\x01\x02", b"GET\r\n\r\n", b"}{\r\n\r\n", b"GET /me HTTP/2.0\r\n\r\n", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"])
def test_rubbish_after_a_request_takes_nothing_from_its_answer(kiln, place, rubbish):
    data = raw.head(place[1], "GET", "/me") + rubbish + raw.head(place[1], "GET", "/me")
    good, bad = raw.answers(raw.exchange(kiln.system.url, data, shut=False))
    assert good.status == 200 and json.loads(good.body)["scopes"]
    assert bad.status == 400 and bad.headers["connection"] == "close"


@pytest.mark.parametrize(
    ("target", "status"),
    [
        ("http://kiln/me", 200),
        ("HTTPS://elsewhere:8443/me", 200),
        ("http://kiln/problems/not-found?", 200),
        ("http://kiln/me?unknown=1", 400),
        ("http://kiln", 404),
        ("http://kiln?/me", 404),
        ("http://kiln?x=http://kiln/me", 404),
        ("httpx://kiln/me", 400),
        ("httpx?://h/me", 400),
        ("http:///me", 400),
        ("http://user@kiln/me", 400),
        ("http://kiln#/me", 400),
        ("/me#", 400),
        ("me", 400),
        ("*", 400),
    ],
)
def test_a_target_has_one_reading(kiln, place, target, status):
    (answer,) = raw.answers(raw.exchange(kiln.system.url, raw.head(place[1], "GET", target, "Connection: close")))
    assert answer.status == status and answer.headers["content-type"].startswith("application/")


def test_requests_in_a_row_are_answered_in_their_order(kiln, place):
    paths = ["/me", "/nothing", "/problems/not-found", "/projects?limit=1"] * 10
    data = b"".join(raw.head(place[1], "GET", path, f"X-Request-Id: {number}") for number, path in enumerate(paths))
    found = raw.decided(kiln.system.url, data)
    assert [answer.headers["x-request-id"] for answer in found] == [str(number) for number in range(len(paths))]
    assert [answer.status for answer in found] == [200, 404, 200, 200] * 10


@pytest.mark.parametrize("expectation", ["200-maybe", "100-continue, 200-maybe", "100-continue;x"])
def test_an_expectation_that_nobody_knows_is_417(kiln, place, expectation):
    answer = refused(kiln, post(place, LENGTH, f"Expect: {expectation}"), 417)
    assert answer.slug == "expectation-failed" and answer.headers["cache-control"] == "no-store"
    assert answer.against_contract("POST", place[0]) == []


def test_an_upgrade_to_http_2_is_not_taken_up(kiln, place):
    fields = ["Connection: Upgrade, HTTP2-Settings", "Upgrade: h2c", "HTTP2-Settings: AAMAAABkAAQAAP__"]
    (answer,) = raw.answers(raw.exchange(kiln.system.url, raw.head(place[1], "GET", "/me", *fields)))
    assert answer.status == 200 and "upgrade" not in answer.headers


def test_http_2_without_asking_is_400_and_the_end(kiln):
    refused(kiln, b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes(3) + b"\x04" + bytes(5), 400)


# -- bombs


# One byte more than the limit is read first: h2o's own limit is the same for both ways, but counts them differently.
@pytest.mark.parametrize("size", [(1 << 20) + 2, 1 << 33, (1 << 63) - 1])
def test_a_length_over_the_limit_is_413_before_the_body_comes(kiln, place, size):
    answer = refused(kiln, raw.head(place[1], "POST", place[0], TYPE, f"Content-Length: {size}"), 413)
    assert answer.slug == "payload-too-large"


def test_a_body_of_the_limit_is_read_in_both_ways(kiln, open_place):
    body = b" " * ((1 << 20) - len(BODY)) + BODY

    def answer_to(line, data):
        (answer,) = raw.decided(kiln.system.url, post(open_place, line, "Connection: close", body=data))
        return answer.status

    assert answer_to(f"Content-Length: {len(body)}", body) == answer_to(CHUNKED, in_chunks(body)) == 202
    body += b" "
    assert answer_to(f"Content-Length: {len(body)}", body) == answer_to(CHUNKED, in_chunks(body)) == 413


def test_an_endless_chunked_body_is_413_at_the_limit(kiln, place):
    chunks = b"1000\r\n" + b" " * 0x1000 + b"\r\n"
    with raw.connect(kiln.system.url) as sock:
        sock.sendall(post(place, CHUNKED, body=b""))
        with contextlib.suppress(ConnectionError):  # it may have its answer before the last of them
            for _ in range((1 << 20) // 0x1000 + 1):
                sock.sendall(chunks)
        (answer,) = raw.answers(raw.read_all(sock))  # and none of the end that a client would have to send
    assert answer.status == 413 and answer.slug == "payload-too-large"


def test_endless_trailers_are_400(kiln, place):
    data = post(place, CHUNKED, body=in_chunks()[:-2] + b"X: " + b"y" * 5000)
    assert refused(kiln, data, 400).slug == "bad-request"


@pytest.mark.parametrize("data", [raw.head("t", "GET", "/me", *[f"X-{number}: y" for number in range(101)]), b"\x16\x03\x01\r\n\r\n"], ids=["fields", "no HTTP"])
def test_what_cannot_be_read_as_a_head_is_400_in_plain_text(kiln, data):
    assert refused(kiln, data, 400).headers["content-type"].startswith("text/plain")


@pytest.mark.parametrize(
    ("path", "lines", "status"),
    [
        ("/me?" + "x" * 9000, [], 414),
        ("/me", [f"X-{number}: {'y' * 1000}" for number in range(80)], 431),
        ("/me", ["X: " + "y" * 70_000], 431),
    ],
    ids=["line", "size", "one"],
)
def test_a_head_beyond_the_limits_is_refused(kiln, place, path, lines, status):
    answer = refused(kiln, raw.head(place[1], "GET", path, *lines), status)
    assert answer.against_contract("GET", "/me") == []


def test_a_head_within_the_limits_is_read(kiln, place):
    lines = [f"X-{number}: {'y' * 600}" for number in range(90)]
    (answer,) = raw.answers(raw.exchange(kiln.system.url, raw.head(place[1], "GET", "/me", *lines, "Connection: close")))
    assert answer.status == 200
