"""Two gateways side by side: what one has accepted the other one knows; a 404 is proved; what cannot be decided is 503."""

import concurrent.futures
import contextlib
import signal
import time
import uuid

import httpx
import pytest
from kiln_testing.agents import spec
from kiln_testing.client import Client, slug
from kiln_testing.kafka_quota import slow_consumer
from kiln_testing.services import ready_gateway
from kiln_testing.streams import EventStream
from kiln_testing.waiting import wait_for

WAITS = {"labels": ["nobody-has-this"]}
SAID_WITHIN_S = 20  # the contract's second for the tail, half a one for Kafka, and what a busy machine adds


@pytest.fixture(name="second", scope="module")
def second_fixture(own_system):
    with ready_gateway(own_system) as gateway:
        yield gateway


def nobody():
    return f"/builds/{uuid.uuid4()}"


def decided(client, path, status, kind=None):
    start = time.monotonic()
    answer = client.get(path, expect=status)
    assert time.monotonic() - start < SAID_WITHIN_S or status != 503  # the client comes again for any other
    assert kind is None or slug(answer) == kind
    return answer.json()


def test_each_gateway_knows_at_once_what_the_other_has_accepted(own_kiln, second):
    project = own_kiln.project()
    clients = (own_kiln.api, own_kiln.at(second))
    # Postgres hears of nothing: only the tails can know.
    with own_kiln.system.frozen("BUILD_SERVICE"):
        for number in range(20):
            here, there = clients[number % 2], clients[1 - number % 2]
            task = here.post(f"/projects/{project['id']}/builds", spec("none", **WAITS), expect=202).json()["task_id"]
            build = there.get(f"/builds/{task}", expect=200).json()
            assert build["status"] == "pending" and build["project"]["id"] == project["id"]
            assert there.get(f"/builds/{task}/events", expect=200).json()["items"] == []
            assert there.get(f"/builds/{task}/logs", expect=200).json()["items"] == []


def test_a_build_that_is_not_applied_yet_is_explained_so_and_cannot_be_repeated(own_kiln, second):
    name = own_kiln.name()
    there = own_kiln.at(second)
    with own_kiln.system.frozen("BUILD_SERVICE"):
        body = {"project": {"name": name}, "build": spec("none", **WAITS)}
        first = own_kiln.api.post("/project/create-and-build", body, expect=202).json()
        answer = there.get(f"/builds/{first['task_id']}/explain", expect=200).json()
        assert [blocker["code"] for blocker in answer["blockers"]] == ["not_applied", "project_provisional"]
        assert answer["project"]["name"] == name and answer["queue"] is None
        assert slug(there.post(f"/builds/{first['task_id']}/retry", expect=409)) == "build-not-ended"
    wait_for(
        lambda: [b["code"] for b in there.get(f"/builds/{first['task_id']}/explain", expect=200).json()["blockers"]] == ["no_worker"],
        "the dispatcher's word",
    )


def test_a_stream_that_is_opened_before_anything_is_applied_begins_with_the_first_event(own_kiln, second):
    project = own_kiln.project()
    with contextlib.ExitStack() as stack:
        with own_kiln.system.frozen("BUILD_SERVICE"):
            path = f"/builds/{own_kiln.post(project, spec('none', **WAITS))}/events"
            streams = [stack.enter_context(EventStream(client, path)) for client in (own_kiln.api, own_kiln.at(second))]
            assert all(stream.status == 200 and not stream.events for stream in streams)
        firsts = [stream.wait(1)[0] for stream in streams]
    assert [(first.id, first.type) for first in firsts] == [("1", "build.pending")] * 2


def test_a_foreign_token_learns_nothing_of_a_build_that_only_the_tail_knows(own_kiln, second):
    project, other = own_kiln.project(), own_kiln.project()
    stranger = own_kiln.token(["builds:read"], projects=[other["name"]])
    with own_kiln.system.frozen("BUILD_SERVICE"):
        task = own_kiln.post(project, spec("none", **WAITS))
        own_kiln.at(second, stranger).get(f"/builds/{task}", expect=404)


def test_absence_is_proved_by_the_tail_while_postgres_lags(own_kiln, second):
    project = own_kiln.project()
    with own_kiln.system.frozen("BUILD_SERVICE"):
        for _ in range(30):  # every partition has something that is not applied
            own_kiln.post(project, spec("none", **WAITS))
        for client in (own_kiln.api, own_kiln.at(second)):
            decided(client, nobody(), 404)


def test_a_restarted_gateway_knows_what_the_one_before_has_accepted(own_kiln):
    project = own_kiln.project()
    with own_kiln.system.frozen("BUILD_SERVICE"):
        task = own_kiln.post(project, spec("none", **WAITS))
        with ready_gateway(own_kiln.system) as gateway:
            assert decided(own_kiln.at(gateway), f"/builds/{task}", 200)["status"] == "pending"
            decided(own_kiln.at(gateway), nobody(), 404)


def test_a_gateway_that_starts_while_postgres_lags_reads_what_it_lacks(own_kiln):
    project, headers = own_kiln.project(), {"Idempotency-Key": str(uuid.uuid4())}
    with own_kiln.system.frozen("BUILD_SERVICE"):
        task = own_kiln.post(project, spec("none", **WAITS), headers=headers)
        with ready_gateway(own_kiln.system, KILN_RECENT_MINUTES="0") as gateway:
            there = own_kiln.at(gateway)
            assert decided(there, f"/builds/{task}", 200)["status"] == "pending"
            decided(there, nobody(), 404)
            there.post(f"/projects/{project['id']}/builds", spec("other", **WAITS), headers=headers, expect=422)


def test_a_gateway_that_has_not_seen_it_says_503_until_postgres_has_it(own_kiln):
    project = own_kiln.project()
    with contextlib.ExitStack() as stack:
        stack.enter_context(own_kiln.system.frozen("BUILD_SERVICE"))
        task = own_kiln.post(project, spec("none", **WAITS))
        there = own_kiln.at(stack.enter_context(ready_gateway(own_kiln.system, KILN_RECENT_MINUTES="0", KILN_RECENT_KEYS="1")))
        decided(there, f"/builds/{task}", 503, "undecidable")
        own_kiln.system.signal("BUILD_SERVICE", signal.SIGCONT)
        wait_for(lambda: there.get(f"/builds/{task}", expect=(200, 503)).status_code == 200, "the build to be applied")
        decided(there, nobody(), 404)


def test_what_was_evicted_is_503_and_not_404(own_kiln):
    project = own_kiln.project()
    body = spec("none", **WAITS) | {"prompt": "x" * 4000}
    with contextlib.ExitStack() as stack:
        there = own_kiln.at(stack.enter_context(ready_gateway(own_kiln.system, KILN_RECENT_BYTES="65536")))
        stack.enter_context(own_kiln.system.frozen("BUILD_SERVICE"))
        tasks = [own_kiln.post(project, body) for _ in range(40)]
        assert decided(there, f"/builds/{tasks[-1]}", 200)["status"] == "pending"
        decided(there, f"/builds/{tasks[0]}", 503, "undecidable")
        own_kiln.system.signal("BUILD_SERVICE", signal.SIGCONT)
        for task in tasks:
            wait_for(lambda task=task: there.get(f"/builds/{task}", expect=(200, 503)).status_code == 200, "the build to be applied")


@pytest.fixture(name="slow")
def slow_fixture(own_kiln):
    """A gateway whose tail gets nothing for seconds after each record."""
    properties = own_kiln.system.folder / "slow.properties"
    properties.write_text("client.id=slow-gateway\n", encoding="utf-8")
    properties.chmod(0o644)
    with ready_gateway(own_kiln.system, KILN_KAFKA_CONFIG=str(properties)) as gateway, slow_consumer(own_kiln.system.brokers, "slow-gateway"):
        own_kiln.post(own_kiln.project(), spec("none", **WAITS))  # from here on it is over its quota
        yield own_kiln.at(gateway)


def test_behind_a_slow_tail_postgres_proves_and_what_it_cannot_prove_is_503(own_kiln, slow):
    project = own_kiln.project()

    def behind():
        """A build that the tail has not read: the record before holds it back, unless that was too long ago. Then it is one that does."""
        made, start = own_kiln.post(project, spec("none", **WAITS)), time.monotonic()
        answer = slow.get(f"/builds/{made}", expect=(200, 503))
        if answer.status_code != 503 or slug(answer) != "undecidable":
            return None
        assert time.monotonic() - start < SAID_WITHIN_S
        return made

    with own_kiln.system.frozen("BUILD_SERVICE"):
        task = wait_for(behind, "a build behind the tail")
    wait_for(lambda: slow.get(f"/builds/{task}", expect=(200, 503)).status_code == 200, "the build to be applied")
    decided(slow, nobody(), 404)


def test_behind_a_slow_tail_a_key_is_not_decided_and_makes_one_build(own_kiln, slow):
    body = spec("none", **WAITS)

    def behind():
        """As above."""
        project, headers = own_kiln.project(), {"Idempotency-Key": str(uuid.uuid4())}
        path, start = f"/projects/{project['id']}/builds", time.monotonic()
        answer = slow.post(path, body, headers=headers, expect=(202, 503))
        if answer.status_code != 503 or slug(answer) != "outcome-unknown":
            return None
        assert time.monotonic() - start < SAID_WITHIN_S
        return project, headers, path, answer.json()

    project, headers, path, told = wait_for(behind, "a build behind the tail")
    assert told["outcome"] == "unknown"
    task = own_kiln.post(project, body, headers=headers)
    assert told["task_id"] == task
    own_kiln.tap.wait_type(task, "build.pending")
    # Postgres has the row now, and no tail is needed.
    assert slow.post(path, body, headers=headers, expect=202).json()["task_id"] == task
    slow.post(path, spec("other", **WAITS), headers=headers, expect=422)
    assert [item["task_id"] for item in own_kiln.api.pages(path)] == [task]


def test_no_202_is_lost_when_a_gateway_is_killed_under_load(own_kiln, second):
    project, body = own_kiln.project(), spec("none", **WAITS)
    path = f"/projects/{project['id']}/builds"

    def post(client):
        """(task_ids, how many were refused or cut) until the gateway is gone."""
        tasks, others = [], 0
        while others == 0 and len(tasks) < 3000:
            try:
                answer = client.post(path, body)
                tasks += [answer.json()["task_id"]] if answer.status_code == 202 else []
            except httpx.TransportError:
                others += 1
        return tasks, others

    def read(client, tasks):
        return [client.get(f"/builds/{task}", expect=(200, 404)).status_code for task in tasks]

    with ready_gateway(own_kiln.system) as victim, concurrent.futures.ThreadPoolExecutor(8) as pool:
        survivors = [Client(url, own_kiln.api.token) for url in (own_kiln.system.url, second.url)]
        posts = [pool.submit(post, own_kiln.at(victim)) for _ in range(4)]
        wait_for(lambda: len(own_kiln.api.get(path, params={"limit": 500}, expect=200).json()["items"]) > 50, "some builds")
        victim.process.send_signal(signal.SIGKILL)
        results = [future.result() for future in posts]
        assert all(others == 1 for _, others in results), "the gateway was killed too late"
        tasks = [task for tasks, _ in results for task in tasks]
        for statuses in pool.map(read, survivors, [tasks, tasks]):
            assert set(statuses) == {200}
    wait_for(lambda: {item["task_id"] for item in own_kiln.api.pages(path)} >= set(tasks), "all of them to be in the list")
