"""Prefer: wait=N of a build's GET and POST: what it waits for, how long at most, and who may."""

import concurrent.futures
import contextlib
import json
import signal
import socket
import time

import pytest
from kiln_testing.access_log import gateway_ended
from kiln_testing.agents import WAITS, Gate, spec, waiting_spec
from kiln_testing.client import key, slug
from kiln_testing.relay import far_gateway
from kiln_testing.revoking import REVOKED_WITHIN_S
from kiln_testing.services import ready_gateway
from kiln_testing.waiting import wait_for

LONG = {"Prefer": "wait=6000"}  # more than the gateway allows
SHORT = {"Prefer": "wait=1"}


@pytest.fixture(name="side", scope="module")
def side_fixture(shared_system):
    """A gateway of this module alone: its waits can be counted."""
    with ready_gateway(shared_system, KILN_MAX_WAIT_S="600", KILN_MAX_WAITS="4", KILN_MAX_WAITS_PER_TOKEN="3") as gateway:
        yield gateway


@pytest.fixture(name="far_one", scope="module")
def far_one_fixture(shared_system):
    with far_gateway(shared_system, KILN_MAX_WAIT_S="600") as far:
        yield far


@pytest.fixture(name="far")
def far_fixture(far_one):
    """A far gateway that has everything."""
    gateway, postgres, kafka = far_one
    yield far_one
    postgres.set_mode("pass")
    kafka.set_mode("pass")
    wait_for(lambda: gateway.readyz().status_code == 200, "the gateway to be ready again")


def without_postgres(gateway, postgres):
    postgres.set_mode("refuse", cut=True)
    wait_for(lambda: gateway.metric("kiln_gateway_database_up") == 0, "the gateway to notice")


@contextlib.contextmanager
def in_background(call, *arguments, **kwargs):
    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        yield pool.submit(call, *arguments, **kwargs)


def slow(kiln, side, client=None):
    """A client at the side gateway that is patient enough."""
    patient = kiln.at(side, client)
    patient.http.timeout = 240
    return patient


def waits(side, number):
    wait_for(lambda: side.metric("kiln_gateway_waits") == number, f"{number} requests to wait")


def looks(side, number):
    """Waits for that many looks more than there were."""
    before = side.metric("kiln_gateway_wait_looks_total")
    return lambda: wait_for(lambda: side.metric("kiln_gateway_wait_looks_total") >= before + number, f"{number} looks")


def waiting_build(kiln):
    task = kiln.waiting()
    kiln.wait_phase(task, "queued")
    return task


def test_a_get_waits_for_the_end_and_says_so(kiln, side):
    task = waiting_build(kiln)
    with in_background(slow(kiln, side).get, f"/builds/{task}", headers=LONG, expect=200) as later:
        waits(side, 1)
        assert not later.done()
        kiln.cancel(task)
        answer = later.result(120)
    assert answer.json()["status"] == "cancelled" and answer.headers["preference-applied"] == "wait=600"
    waits(side, 0)


def test_a_get_with_an_etag_waits_for_news_only(kiln, side):
    project, _ = kiln.seeded(concurrency=1)
    first_gate, gate = Gate(kiln), Gate(kiln)
    first = kiln.run(project, first_gate.script)
    kiln.wait_phase(first, "agent")  # before the other one is there: it could be applied first
    task = kiln.run(project, gate.script)
    kiln.wait_phase(task, "queued")
    client = slow(kiln, side)
    tag = client.get(f"/builds/{task}", expect=200).headers["etag"]
    with in_background(client.get, f"/builds/{task}", headers=LONG | {"If-None-Match": tag}, expect=200) as later:
        waits(side, 1)
        first_gate.open()
        answer = later.result(120)
    assert answer.headers["etag"] != tag and answer.headers["preference-applied"] == "wait=600"
    assert answer.json()["finished_at"] is None  # news, though not the end
    gate.open()
    kiln.wait_end(task)


def test_what_does_not_come_in_time_is_answered_as_it_is(kiln, side):
    task = waiting_build(kiln)
    client = slow(kiln, side)
    begin = time.monotonic()
    answer = client.get(f"/builds/{task}", headers=SHORT, expect=200)
    assert time.monotonic() - begin > 0.99  # the gateway counts whole milliseconds
    assert answer.json()["status"] == "pending" and answer.headers["preference-applied"] == "wait=1"
    same = client.get(f"/builds/{task}", headers=SHORT | {"If-None-Match": answer.headers["etag"]}, expect=304)
    assert same.headers["preference-applied"] == "wait=1"
    kiln.cancel(task)


def test_what_has_ended_or_is_not_there_is_answered_at_once(kiln, side):
    task = waiting_build(kiln)
    kiln.cancel(task)
    ended = kiln.wait_end(task)
    client = kiln.at(side)  # its patience ends long before such a wait would
    answer = client.get(f"/builds/{task}", headers=LONG, expect=200)
    assert answer.json() == ended
    client.get(f"/builds/{task}", headers=LONG | {"If-None-Match": answer.headers["etag"]}, expect=304)
    client.get("/builds/0198c1de-7a3b-7c4d-8e5f-0123456789ab", headers=LONG, expect=404)
    client.get("/builds/nothing", headers=LONG, expect=404)


def test_a_post_waits_for_the_end_and_answers_with_the_build(kiln, side):
    project, _ = kiln.seeded()
    body = spec(kiln.agents.write("echo done"))
    answer = slow(kiln, side).post(f"/projects/{project['name']}/builds", body, headers=LONG | key(), expect=200)
    build = answer.json()
    assert build["status"] == "completed" and build["result"]["success"] is True
    assert answer.headers["location"] == answer.headers["content-location"] == f"/builds/{build['task_id']}"
    assert answer.headers["preference-applied"] == "wait=600" and answer.headers["cache-control"] == "no-store"
    assert kiln.build(build["task_id"]) == build


def test_a_post_whose_build_does_not_end_in_time_is_the_202(kiln, side):
    project = kiln.project()
    answer = slow(kiln, side).post(f"/project/{project['name']}/build", waiting_spec(), headers=SHORT | key(), expect=202)
    assert answer.headers["preference-applied"] == "wait=1" and answer.json()["status"] == "pending"
    assert answer.headers["location"] == answer.json()["links"]["self"]
    kiln.cancel(answer.json()["task_id"])


def test_a_repeated_post_with_its_key_waits_for_the_first_one_s_build(kiln, side):
    project = kiln.project()
    path, body, headers = f"/projects/{project['id']}/builds", waiting_spec(), key()
    client = slow(kiln, side)
    task = client.post(path, body, headers=headers, expect=202).json()["task_id"]
    with in_background(client.post, path, body, headers=headers | LONG, expect=200) as later:
        waits(side, 1)
        kiln.cancel(task)
        build = later.result(120).json()
    assert (build["task_id"], build["status"]) == (task, "cancelled")


def test_a_token_that_may_not_read_builds_does_not_wait(kiln, side):
    project = kiln.project()
    client = kiln.at(side, kiln.token(["builds:write"]))
    answer = client.post(f"/projects/{project['id']}/builds", waiting_spec(), headers=LONG, expect=202)
    assert "preference-applied" not in answer.headers
    kiln.cancel(answer.json()["task_id"])


def test_beyond_a_token_s_or_the_gateway_s_limit_nobody_waits(kiln, side):
    path = f"/builds/{waiting_build(kiln)}"
    greedy, other = (kiln.token(["builds:read"]) for _ in range(2))
    with contextlib.ExitStack() as stack:
        def one_more(client):
            return stack.enter_context(in_background(slow(kiln, side, client).get, path, headers=LONG, expect=200))

        later = [one_more(greedy) for _ in range(3)]
        waits(side, 3)
        assert "preference-applied" not in kiln.at(side, greedy).get(path, headers=LONG, expect=200).headers
        later.append(one_more(other))
        waits(side, 4)
        assert "preference-applied" not in kiln.at(side, other).get(path, headers=LONG, expect=200).headers
        kiln.cancel(path.removeprefix("/builds/"))
        assert {one.result(120).json()["status"] for one in later} == {"cancelled"}
    waits(side, 0)


def raw_wait(kiln, side, path):
    """A socket that waits."""
    host, _, port = side.url.removeprefix("http://").partition(":")
    sock = socket.create_connection((host, int(port)), timeout=60)
    sock.sendall(f"GET {path} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {kiln.api.token}\r\nPrefer: wait=600\r\n\r\n".encode())
    return sock


def read_all(sock):
    with sock, sock.makefile("rb") as file:
        return file.read()


def test_a_client_that_leaves_is_not_waited_for(kiln, side):
    task = waiting_build(kiln)
    sock = raw_wait(kiln, side, f"/builds/{task}")
    waits(side, 1)
    sock.close()
    waits(side, 0)
    kiln.cancel(task)


def test_a_client_that_closes_its_half_is_answered_with_what_there_is(kiln, side):
    task = waiting_build(kiln)
    sock = raw_wait(kiln, side, f"/builds/{task}")
    waits(side, 1)
    sock.shutdown(socket.SHUT_WR)
    head, _, body = read_all(sock).partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 200 ") and json.loads(body)["status"] == "pending"
    kiln.cancel(task)


def test_a_post_with_a_large_body_waits_as_long_as_there_is_memory(kiln, side):
    """Its token's three waits may hold 64 KiB each on average."""
    project, large = kiln.project(), waiting_spec(prompt="x" * 150_000)
    path, client = f"/projects/{project['id']}/builds", slow(kiln, side)
    with in_background(client.post, path, large, headers=LONG | key(), expect=200) as later:
        waits(side, 1)
        too_much = client.post(path, large, headers=LONG | key(), expect=202)
        enough = client.post(path, waiting_spec(prompt="x" * 20_000), headers=SHORT | key(), expect=202)
        assert "preference-applied" not in too_much.headers and enough.headers["preference-applied"] == "wait=1"
        for build in kiln.api.pages(path):
            kiln.cancel(build["task_id"])
        assert later.result(120).json()["status"] == "cancelled"
    waits(side, 0)
    again = client.post(path, large, headers=SHORT | key(), expect=202)
    assert again.headers["preference-applied"] == "wait=1"
    kiln.cancel(again.json()["task_id"])


def test_a_token_that_is_revoked_gets_nothing_more(kiln, side):
    task = waiting_build(kiln)
    client = kiln.token(["builds:read"])
    with in_background(slow(kiln, side, client).get, f"/builds/{task}", headers=LONG, expect=401) as later:
        waits(side, 1)
        kiln.api.delete(f"/tokens/{client.id}", expect=204)
        later.result(120)
    kiln.cancel(task)


@pytest.mark.parametrize(("method", "told"), [("GET", 401), ("POST", 202)])  # a POST may hear of what it has done while its token worked
def test_a_token_that_expires_ends_its_wait_within_5_seconds(kiln, side, method, told):
    task, project = waiting_build(kiln), kiln.project()
    path, body = (f"/builds/{task}", None) if method == "GET" else (f"/projects/{project['id']}/builds", waiting_spec())
    with concurrent.futures.ThreadPoolExecutor(1) as pool:

        def begin(client):
            later = pool.submit(slow(kiln, side, client).request, method, path, body=body, headers=LONG)
            wait_for(lambda: later.done() or side.metric("kiln_gateway_waits") == 1, "the request to wait")
            return None if later.done() else later

        later, ends = kiln.until_expiry(["builds:read", "builds:write"], begin)
        answer = later.result(120)
    late = (gateway_ended(side.log, answer) - ends).total_seconds()
    assert answer.status_code == told and 0 <= late < REVOKED_WITHIN_S
    kiln.cancel(task)


def test_a_gateway_that_stops_answers_those_who_wait(kiln):
    task = waiting_build(kiln)
    project = kiln.project()
    with ready_gateway(kiln.system, KILN_MAX_WAIT_S="600") as gateway, contextlib.ExitStack() as stack:
        get = stack.enter_context(in_background(slow(kiln, gateway).get, f"/builds/{task}", headers=LONG, expect=200))
        post = stack.enter_context(
            in_background(slow(kiln, gateway).post, f"/projects/{project['id']}/builds", waiting_spec(), headers=LONG, expect=202)
        )
        waits(gateway, 2)
        gateway.process.send_signal(signal.SIGTERM)
        assert get.result(120).json()["status"] == "pending"
        kiln.cancel(post.result(120).json()["task_id"])
    kiln.cancel(task)


def test_builds_that_end_together_are_all_told(kiln, side):
    project, _ = kiln.seeded()
    body = spec(kiln.agents.write("true"))
    with concurrent.futures.ThreadPoolExecutor(3) as pool:
        path = f"/projects/{project['id']}/builds"
        answers = list(pool.map(lambda _: slow(kiln, side).post(path, body, headers=LONG | key(), expect=200), range(9)))
    assert [answer.json()["status"] for answer in answers] == ["completed"] * 9


def test_only_requests_that_waited_are_left_out_of_the_latency(kiln, side):
    def counted():
        return side.metric("kiln_http_request_duration_seconds_count")

    path, client = f"/projects/{kiln.project()['id']}/builds", slow(kiln, side)
    before = counted()
    client.post(path, {}, headers=LONG, expect=422)
    wait_for(lambda: counted() == before + 1, "the refused request to be counted")
    client.post(path, waiting_spec(), headers=SHORT, expect=202)
    client.post(path, {}, headers=LONG, expect=422)
    wait_for(lambda: counted() >= before + 2, "the next one to be counted")
    assert counted() == before + 2


def test_a_get_that_waits_outlives_an_absence_of_postgres(kiln, far):
    gateway, postgres, _ = far
    task = waiting_build(kiln)
    first_look = looks(gateway, 1)
    with in_background(slow(kiln, gateway).get, f"/builds/{task}", headers=LONG) as later:  # without `expect`: 503 is an answer
        first_look()
        without_postgres(gateway, postgres)
        failed_looks = looks(gateway, 2)
        kiln.cancel(task)
        kiln.wait_end(task)
        failed_looks()
        postgres.set_mode("pass")
        answer = later.result(120)
    assert (answer.status_code, answer.json()["status"]) == (200, "cancelled")


def test_a_post_that_waits_is_answered_with_the_build_when_postgres_is_back(kiln, far):
    gateway, postgres, _ = far
    project, client = kiln.project(), slow(kiln, gateway)
    path = f"/projects/{project['id']}/builds"
    kiln.cancel(first := client.post(path, waiting_spec(), expect=202).json()["task_id"])  # the gateway knows the project
    kiln.wait_end(first)  # it is not the one that is pending below
    without_postgres(gateway, postgres)
    failed_looks = looks(gateway, 2)
    with in_background(client.post, path, spec("later", **WAITS), headers=LONG) as later:
        task = wait_for(lambda: next(iter(kiln.api.pages(path, status="pending")), None), "the build")["task_id"]
        kiln.cancel(task)
        kiln.wait_end(task)
        failed_looks()
        postgres.set_mode("pass")
        answer = later.result(120)
    assert (answer.status_code, answer.json()["task_id"], answer.json()["status"]) == (200, task, "cancelled")


def test_a_get_that_fails_at_once_without_postgres_does_not_wait_for_it(kiln, far):
    gateway, postgres, _ = far
    task = waiting_build(kiln)
    without_postgres(gateway, postgres)
    answer = kiln.at(gateway).get(f"/builds/{task}", headers=LONG, expect=503)
    assert slug(answer) == "database-unavailable" and "preference-applied" not in answer.headers
    kiln.cancel(task)


def test_a_client_that_leaves_while_postgres_is_away_is_not_waited_for(kiln, far):
    gateway, postgres, _ = far
    task = waiting_build(kiln)
    first_look = looks(gateway, 1)
    sock = raw_wait(kiln, gateway, f"/builds/{task}")
    first_look()
    without_postgres(gateway, postgres)
    waits(gateway, 1)
    sock.close()
    waits(gateway, 0)
    kiln.cancel(task)


def test_an_end_that_came_before_the_tail_of_events_could_begin_is_not_missed(kiln):
    task = waiting_build(kiln)
    begins = 'kiln_gateway_tail_starts_total{tail="events"}'
    with far_gateway(kiln.system, KILN_MAX_WAIT_S="600") as (gateway, _, kafka):
        kafka.set_mode("refuse", cut=True)
        first_look = looks(gateway, 1)
        with in_background(slow(kiln, gateway).get, f"/builds/{task}", headers=LONG) as later:
            first_look()
            kiln.cancel(task)
            kiln.wait_end(task)
            assert not later.done() and gateway.metric(begins) == 0
            kafka.set_mode("pass")
            answer = later.result(120)
        assert (answer.status_code, answer.json()["status"]) == (200, "cancelled")


def test_a_gateway_that_stops_without_postgres_answers_those_who_wait(kiln):
    task = waiting_build(kiln)
    path = f"/projects/{kiln.project()['id']}/builds"
    with far_gateway(kiln.system, KILN_MAX_WAIT_S="600") as (gateway, postgres, _), contextlib.ExitStack() as stack:
        looked = looks(gateway, 2)
        get = stack.enter_context(in_background(slow(kiln, gateway).get, f"/builds/{task}", headers=LONG, expect=503))
        post = stack.enter_context(in_background(slow(kiln, gateway).post, path, waiting_spec(), headers=LONG, expect=202))
        looked()
        without_postgres(gateway, postgres)
        waits(gateway, 2)
        gateway.process.send_signal(signal.SIGTERM)
        assert slug(get.result(120)) == "database-unavailable"
        kiln.cancel(post.result(120).json()["task_id"])
        wait_for(lambda: gateway.process.poll() == 0, "the gateway to end")
    kiln.cancel(task)
