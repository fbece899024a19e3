"""Cross-origin requests of browsers: by configuration, off by default."""

import socket

import httpx
import pytest
from kiln_testing import raw
from kiln_testing.services import ready_gateway
from kiln_testing.waiting import wait_for

APP = "https://app.example.org"
ASKS = {"Access-Control-Request-Method": "PATCH", "Access-Control-Request-Headers": "authorization,if-match"}


@pytest.fixture(name="open_to_app", scope="module")
def open_to_app_fixture(shared_system):
    with ready_gateway(shared_system, KILN_CORS_ORIGINS=f"{APP}, http://localhost:3000") as gateway:
        yield gateway


@pytest.fixture(name="browser")
def browser_fixture(open_to_app):
    with httpx.Client(base_url=open_to_app.url, headers={"Origin": APP}, timeout=60, trust_env=False) as client:
        yield client


def named(answer, header):
    return {part.strip().lower() for part in answer.headers.get(header, "").split(",")} - {""}


def test_a_preflight_says_what_a_path_takes_without_a_token(browser):
    answer = browser.request("OPTIONS", "/projects/demo", headers=ASKS)
    assert (answer.status_code, answer.content) == (204, b"")
    assert answer.headers["access-control-allow-origin"] == APP
    assert named(answer, "access-control-allow-methods") == {"get", "head", "patch", "delete"}
    assert named(answer, "access-control-allow-headers") >= {"authorization", "content-type", "if-match", "idempotency-key", "prefer", "range", "if-range"}
    assert int(answer.headers["access-control-max-age"]) > 0
    assert "access-control-allow-credentials" not in answer.headers
    assert browser.request("OPTIONS", "/nowhere", headers=ASKS).status_code == 404


def test_every_answer_may_be_read_by_an_allowed_origin(kiln, browser, open_to_app):
    token = {"Authorization": f"Bearer {kiln.api.token}"}
    stream = browser.build_request("GET", "/events", headers=token | {"Accept": "text/event-stream"})
    large = {"Content-Length": "99999999"}  # h2o refuses it before the gateway sees it
    host, _, port = open_to_app.url.removeprefix("http://").partition(":")
    with socket.create_connection((host, int(port)), timeout=60) as sock, sock.makefile("rb") as file:
        sock.sendall(f"POST /tokens HTTP/1.1\r\nHost: x\r\nOrigin: {APP}\r\nContent-Length: {large['Content-Length']}\r\n\r\n".encode())
        assert b" 413 " in file.readline()
        assert f"access-control-allow-origin: {APP}\r\n".encode() in iter(file.readline, b"\r\n")
    answers = [browser.get("/me", headers=token), browser.get("/me"), browser.post("/projects", headers=token, content="x")]
    answers.append(browser.send(stream, stream=True))
    answers[-1].close()
    assert [answer.status_code for answer in answers] == [200, 401, 415, 200]
    for answer in answers:
        assert answer.headers["access-control-allow-origin"] == APP and "origin" in named(answer, "vary")
        seen = named(answer, "access-control-expose-headers")
        assert seen >= {"etag", "location", "link", "retry-after", "ratelimit", "x-request-id"}
        assert seen >= {"accept-ranges", "content-disposition", "content-range"}  # of artifacts


def test_another_origin_gets_no_leave(browser):
    for origin in ("https://evil.example", "null", f"{APP}.evil.example"):
        preflight = browser.request("OPTIONS", "/projects/demo", headers=ASKS | {"Origin": origin})
        simple = browser.get("/openapi.json", headers={"Origin": origin})
        assert (preflight.status_code, simple.status_code) == (405, 200)
        for answer in (preflight, simple):
            assert not [name for name in answer.headers if name.startswith("access-control-")]
            assert "origin" in named(answer, "vary")


def test_options_that_are_no_preflight_are_405(browser):
    answer = browser.request("OPTIONS", "/projects/demo")
    assert answer.status_code == 405 and "PATCH" in answer.headers["allow"]


def test_what_does_not_come_in_time_may_be_read_by_an_allowed_origin(kiln):
    """As soon as the head says which origin asks."""
    body = {"KILN_CORS_ORIGINS": APP, "KILN_BODY_TIMEOUT_MS": "300"}
    with ready_gateway(kiln.system, **body) as gateway:

        def answer_to(origin):
            head = raw.head(kiln.api.token, "POST", "/projects", "Content-Length: 2", f"Origin: {origin}")
            (answer,) = raw.answers(raw.exchange(gateway.url, head, shut=False))
            assert answer.status == 408 and answer.headers["vary"] == "origin"
            return answer.headers

        assert answer_to(APP)["access-control-allow-origin"] == APP
        assert "access-control-allow-origin" not in answer_to("https://evil.example")


def test_who_has_to_make_room_may_read_why(kiln):
    with ready_gateway(kiln.system, KILN_CORS_ORIGINS=APP, KILN_MAX_CONNECTIONS="1", KILN_THREADS="1") as gateway, raw.connect(gateway.url) as sock:
        sock.sendall(raw.head(kiln.api.token, "POST", "/projects", "Content-Length: 2", "Expect: 100-continue", f"Origin: {APP}"))
        assert sock.recv(100) == b"HTTP/1.1 100 Continue\r\n\r\n"  # its head has been read
        asks = raw.head(kiln.api.token, "GET", "/me", "Connection: close")
        wait_for(lambda: raw.exchange(gateway.url, asks).startswith(b"HTTP/1.1 200 "), "room to be made")
        (answer,) = raw.answers(raw.read_all(sock))
    assert answer.status == 503 and answer.headers["access-control-allow-origin"] == APP


def test_a_star_lets_every_origin_read(kiln):
    with ready_gateway(kiln.system, KILN_CORS_ORIGINS="*") as gateway:
        for origin in (APP, "null"):
            simple = httpx.get(f"{gateway.url}/openapi.json", headers={"Origin": origin}, timeout=60, trust_env=False)
            preflight = httpx.options(f"{gateway.url}/projects/demo", headers=ASKS | {"Origin": origin}, timeout=60, trust_env=False)
            assert (simple.status_code, preflight.status_code) == (200, 204)
            for answer in (simple, preflight):
                assert answer.headers["access-control-allow-origin"] == "*" and "origin" not in named(answer, "vary")


def test_it_is_off_unless_configured(kiln):
    preflight = kiln.api.http.request("OPTIONS", "/projects/demo", headers=ASKS | {"Origin": APP})
    simple = kiln.api.get("/openapi.json", headers={"Origin": APP}, expect=200)
    assert preflight.status_code == 405
    for answer in (preflight, simple):
        assert not [name for name in answer.headers if name.startswith("access-control-")]
        assert "origin" not in named(answer, "vary")
