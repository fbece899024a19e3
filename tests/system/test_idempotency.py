"""Idempotency-Key: the same request is one build."""

import concurrent.futures
import json
import uuid

import pytest
from kiln_testing.agents import WAITS, spec, waiting_spec
from kiln_testing.client import key, slug
from kiln_testing.services import cpu_seconds, ready_gateway
from kiln_testing.waiting import wait_for


@pytest.fixture(name="second", scope="module")
def second_fixture(shared_system):
    with ready_gateway(shared_system) as gateway:
        yield gateway


@pytest.fixture(name="forgetful", scope="module")
def forgetful_fixture(shared_system):
    """A gateway that starts when all is over: only Postgres can tell it what was."""
    with ready_gateway(shared_system, KILN_RECENT_MINUTES="0") as gateway:
        yield gateway


def test_the_same_key_is_the_same_build(kiln):
    project = kiln.project()
    headers, body = key(), waiting_spec()
    tasks = {kiln.post(project, body, headers=headers) for _ in range(5)}
    assert len(tasks) == 1
    (task,) = tasks
    assert uuid.UUID(task).version == 8
    kiln.tap.wait_type(task, "build.pending")
    assert [item["task_id"] for item in kiln.api.pages(f"/projects/{project['id']}/builds")] == [task]
    assert [event["type"] for event in kiln.trail(task)] == ["build.pending"]


def test_another_body_with_the_same_key_is_422(kiln):
    project, headers = kiln.project(), key()
    path = f"/projects/{project['id']}/builds"
    task = kiln.post(project, waiting_spec(), headers=headers)
    for _ in range(2):
        answer = kiln.api.post(path, spec("other", **WAITS), headers=headers, expect=422)
        assert slug(answer) == "idempotency-key-reused"
    assert kiln.build(task)["spec"]["agent"]["command"] == "none"
    kiln.tap.wait_type(task, "build.pending")
    assert [item["task_id"] for item in kiln.api.pages(path)] == [task]


def routes(kiln):
    """(path, a body with these fields in its build), of the two that take one."""
    project = kiln.project()
    return [
        (f"/projects/{project['id']}/builds", lambda **fields: waiting_spec(**fields)),
        ("/project/create-and-build", lambda **fields: {"project": {"name": project["name"]}, "build": waiting_spec(**fields)}),
    ]


each_route = pytest.mark.parametrize("number", [0, 1], ids=["builds", "create-and-build"])


@each_route
def test_a_body_that_is_no_build_is_another_body_of_a_key_that_is_known(kiln, number):
    path, body = routes(kiln)[number]
    headers = key()
    for slug_of_key in ("validation-failed", "idempotency-key-reused"):
        for _ in range(2):
            assert slug(kiln.api.post(path, body(unknown=1), headers=headers, expect=422)) == slug_of_key
        kiln.api.post(path, body(), headers=headers, expect=202)


@each_route
def test_a_body_that_is_no_build_costs_with_a_key_about_what_it_costs_without(kiln, second, number):
    """Numbers that take long to write in their one canonical form, which a key's body has."""
    path, body = routes(kiln)[number]
    there = kiln.at(second)
    content = json.dumps(body(unknown=[0])).replace("[0]", "[" + ",".join(["1.2345678901234567e-310"] * 40_000) + "]").encode()

    def cost(headers):
        begin = cpu_seconds(second.process.pid)
        for _ in range(5):
            answer = there.post(path, content=content, headers={"Content-Type": "application/json"} | headers, expect=422)
            assert slug(answer) == "validation-failed"
        return cpu_seconds(second.process.pid) - begin

    assert cost(key()) < 8 * cost({})  # it is read twice; writing all of its numbers costs twenty times as much


def test_the_same_body_written_otherwise_is_the_same_body(kiln):
    project, headers = kiln.project(), key()
    body = waiting_spec()
    task = kiln.post(project, body, headers=headers)
    assert kiln.post(project, dict(reversed(body.items())), headers=headers) == task


def test_a_key_holds_at_every_gateway(kiln, second):
    project, headers, body = kiln.project(), key(), waiting_spec()
    path = f"/projects/{project['id']}/builds"
    there = kiln.at(second)
    task = there.post(path, body, headers=headers, expect=202).json()["task_id"]
    assert kiln.post(project, body, headers=headers) == task
    kiln.api.post(path, spec("other", **WAITS), headers=headers, expect=422)
    there.post(path, spec("other", **WAITS), headers=headers, expect=422)


def test_racing_bodies_at_two_gateways_have_one_winner(kiln, second):
    project, headers = kiln.project(), key()
    path = f"/projects/{project['id']}/builds"
    clients, names = (kiln.api, kiln.at(second)), ("one", "two", "three")

    def post(number):
        name = names[number % 3]
        answer = clients[number % 2].post(path, spec(name, **WAITS), headers=headers, expect=(202, 422))
        return name, answer.json().get("task_id")

    with concurrent.futures.ThreadPoolExecutor(12) as pool:
        answers = list(pool.map(post, range(36)))
    task = next(task for _, task in answers if task is not None)
    winner = kiln.build(task)["spec"]["agent"]["command"]
    assert {(name, given) for name, given in answers if given is not None} == {(winner, task)}
    assert {name for name, given in answers if given is None} == set(names) - {winner}
    assert len([name for name, given in answers if given is None]) == 24
    kiln.tap.wait_type(task, "build.pending")
    assert len(kiln.api.pages(path)) == 1


def test_a_key_holds_after_the_gateway_has_forgotten(kiln, forgetful):
    project, headers, body = kiln.project(), key(), waiting_spec()
    path = f"/projects/{project['id']}/builds"
    task = kiln.post(project, body, headers=headers)
    kiln.tap.wait_type(task, "build.pending")
    with ready_gateway(kiln.system, KILN_RECENT_MINUTES="0") as gateway:
        there = kiln.at(gateway)
        there.post(path, spec("other", **WAITS), headers=headers, expect=422)
        assert there.post(path, body, headers=headers, expect=202).json()["task_id"] == task
    # A new key works there too, with nothing but what comes from now on.
    fresh = key()
    there = kiln.at(forgetful)
    assert there.post(path, body, headers=fresh, expect=202).json()["task_id"] != task
    there.post(path, spec("other", **WAITS), headers=fresh, expect=422)


def test_a_key_is_not_taken_at_its_word_when_postgres_is_slow(kiln):
    project, headers, body, other = kiln.project(), key(), waiting_spec(), spec("other", **WAITS)
    path = f"/projects/{project['id']}/builds"
    task = kiln.post(project, body, headers=headers)
    kiln.tap.wait_type(task, "build.pending")
    with ready_gateway(kiln.system, KILN_RECENT_MINUTES="0") as gateway:
        there = kiln.at(gateway)
        there.post(path, body, expect=202)  # it knows the project
        with kiln.system.locked("pruned_builds"):
            # Another 503 says that Kafka was slow too.
            wait_for(lambda: slug(there.post(path, other, headers=headers, expect=503)) == "outcome-unknown", "the outcome to be unknown")
        there.post(path, other, headers=headers, expect=422)
        assert there.post(path, body, headers=headers, expect=202).json()["task_id"] == task


def test_a_template_that_is_not_looked_up_in_time_is_what_a_keyed_post_says_it_waited_for(kiln):
    project, name = kiln.project(), kiln.name("t")
    kiln.api.post("/templates", {"name": name, "text": "x"}, expect=201)
    body = waiting_spec(template=name)
    with ready_gateway(kiln.system) as gateway, kiln.system.locked("templates"):
        there, path = kiln.at(gateway), f"/projects/{project['id']}/builds"

        def told():
            answer = there.post(path, body, headers=key(), expect=503)
            return slug(answer), answer.json()["detail"]

        # Another 503 says that the key was not looked up in time.
        wait_for(lambda: told() == ("database-unavailable", "The template was not looked up in time; nothing was accepted."), "the template to be late")


def test_keys_are_looked_up_while_old_ones_cannot_be_deleted(kiln):
    project, headers = kiln.project(), key()
    kiln.tap.wait_type(kiln.post(project, waiting_spec(), headers=headers), "build.pending")
    with kiln.system.locked("idempotency_keys"), ready_gateway(kiln.system, KILN_RECENT_MINUTES="0") as gateway:
        wait_for(lambda: "old keys cannot be deleted" in gateway.log.read_text(encoding="utf-8"), "the deletion to fail")
        kiln.at(gateway).post(f"/projects/{project['id']}/builds", spec("other", **WAITS), headers=headers, expect=422)


def test_a_repeated_request_is_not_judged_by_what_has_changed_since(kiln):
    project, headers = kiln.project(agent={"provider": "command", "command": "none"}), key()
    body = {"prompt": "x", **WAITS}
    task = kiln.post(project, body, headers=headers)
    etag = kiln.api.get(f"/projects/{project['id']}", expect=200).headers["etag"]
    kiln.api.patch(f"/projects/{project['id']}", {"agent": None}, headers={"If-Match": etag}, expect=200)
    assert kiln.post(project, body, headers=headers) == task
    kiln.api.post(f"/projects/{project['id']}/builds", body, headers=key(), expect=422)


def test_the_alias_of_a_route_is_the_same_route_and_create_and_build_is_another(kiln):
    project, headers, body = kiln.project(), key(), waiting_spec()
    task = kiln.post(project, body, headers=headers)
    assert kiln.api.post(f"/project/{project['name']}/build", body, headers=headers, expect=202).json()["task_id"] == task
    create = {"project": {"name": project["name"]}, "build": body}
    assert kiln.api.post("/project/create-and-build", create, headers=headers, expect=202).json()["task_id"] != task


def test_the_key_of_a_pruned_build_starts_no_second_one(kiln, forgetful):
    project, headers, body = kiln.project(), key(), waiting_spec()
    path = f"/projects/{project['id']}/builds"
    task = kiln.post(project, body, headers=headers)
    kiln.prune(task)
    for client in (kiln.api, kiln.at(forgetful)):
        assert client.post(path, body, headers=headers, expect=202).json()["task_id"] == task
        client.post(path, spec("other", **WAITS), headers=headers, expect=422)
        # The gateway may have read it before, when it had ended.
        wait_for(lambda c=client: c.get(f"/builds/{task}").status_code == 404, "the build to be gone")
    assert kiln.api.pages(path) == []


def test_without_a_key_each_request_is_a_build(kiln):
    project = kiln.project()
    tasks = [kiln.post(project, waiting_spec()) for _ in range(3)]
    assert len(set(tasks)) == 3 and all(uuid.UUID(task).version == 7 for task in tasks)


def test_racing_requests_with_one_key_are_one_build(kiln):
    project = kiln.project()
    headers, body = key(), waiting_spec()
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        tasks = {future.result() for future in [pool.submit(kiln.post, project, body, headers=headers) for _ in range(24)]}
    assert len(tasks) == 1
    kiln.tap.wait_type(next(iter(tasks)), "build.pending")
    assert len(kiln.api.pages(f"/projects/{project['id']}/builds")) == 1


def test_a_key_means_its_own_project_and_token(kiln):
    first, second = kiln.project(), kiln.project()
    headers, body = key(), waiting_spec()
    other = kiln.token(["builds:write"])
    tasks = [kiln.post(first, body, headers=headers), kiln.post(second, body, headers=headers)]
    tasks.append(other.post(f"/projects/{first['id']}/builds", body, headers=headers, expect=202).json()["task_id"])
    assert len(set(tasks)) == 3


def test_a_key_is_the_same_with_and_without_quotes(kiln):
    project = kiln.project()
    text = str(uuid.uuid4())
    body = waiting_spec()
    tasks = {kiln.post(project, body, headers={"Idempotency-Key": form}) for form in (text, f'"{text}"')}
    assert len(tasks) == 1


def test_create_and_build_with_a_key_is_one_build_too(kiln):
    headers = key()
    body = {"project": {"name": kiln.name()}, "build": waiting_spec()}
    answers = [kiln.api.post("/project/create-and-build", body, headers=headers, expect=202).json() for _ in range(3)]
    assert len({answer["task_id"] for answer in answers}) == 1
    assert len({answer["project"]["id"] for answer in answers}) == 1


def test_create_and_build_with_another_body_is_422(kiln, second):
    headers, name = key(), kiln.name()
    body = {"project": {"name": name}, "build": waiting_spec()}
    first = kiln.api.post("/project/create-and-build", body, headers=headers, expect=202).json()
    assert "webhook_secret" in first["project"]
    kiln.tap.wait_type(first["task_id"], "build.pending")
    other = body | {"build": spec("other", **WAITS)}
    for client in (kiln.api, kiln.at(second)):
        assert slug(client.post("/project/create-and-build", other, headers=headers, expect=422)) == "idempotency-key-reused"
        again = client.post("/project/create-and-build", body, headers=headers, expect=202).json()
        assert again["task_id"] == first["task_id"] and "webhook_secret" not in again["project"]


def test_create_and_build_is_repeated_after_the_project_has_changed(kiln):
    headers = key()
    body = {"project": {"name": kiln.name(), "branch": "main"}, "build": waiting_spec()}
    first = kiln.api.post("/project/create-and-build", body, headers=headers, expect=202).json()
    path = f"/projects/{first['project']['id']}"
    kiln.api.patch(path, {"branch": "next"}, headers={"If-Match": kiln.api.get(path, expect=200).headers["etag"]}, expect=200)
    assert kiln.api.post("/project/create-and-build", body, headers=headers, expect=202).json()["task_id"] == first["task_id"]
    kiln.api.post("/project/create-and-build", body, headers=key(), expect=409)


def test_racing_create_and_builds_with_one_key_are_one_build_of_one_body(kiln, second):
    headers, name = key(), kiln.name()
    clients, commands = (kiln.api, kiln.at(second)), ("one", "two")

    def post(number):
        command = commands[number // 2 % 2]
        body = {"project": {"name": name}, "build": spec(command, **WAITS)}
        answer = clients[number % 2].post("/project/create-and-build", body, headers=headers, expect=(202, 422))
        return command, answer.json().get("task_id")

    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(post, range(16)))
    accepted = {(command, task) for command, task in answers if task is not None}
    assert len(accepted) == 1
    [(command, task)] = accepted
    kiln.tap.wait_type(task, "build.pending")
    assert kiln.build(task)["spec"]["agent"]["command"] == command
    assert len(kiln.api.pages(f"/projects/{name}/builds")) == 1


@pytest.mark.parametrize("value", ["", '""', "x" * 256, '"unfinished', "ä".encode().decode("latin-1")])
def test_a_malformed_key_is_400(kiln, value):
    project = kiln.project()
    kiln.api.post(
        f"/projects/{project['id']}/builds", waiting_spec(), headers={"Idempotency-Key": value.encode("latin-1")}, expect=400
    )
