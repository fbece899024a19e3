"""GET /audit: who wrote what, when, from where."""

import json
import uuid

import pytest
from kiln_testing.agents import waiting_spec
from kiln_testing.client import key, slug
from kiln_testing.waiting import wait_for


@pytest.fixture(name="bot")
def bot_fixture(kiln):
    """A client whose writes are its own."""
    return kiln.token(["projects:read", "projects:write", "builds:read", "builds:write", "templates:write", "tokens:write"], name=f"bot {uuid.uuid4().hex}")


def audit(kiln, **params):
    return kiln.api.pages("/audit", **params)


def wait_audit(kiln, count, **params):
    """As many entries as there must be, newest first; what goes through Kafka comes a little later."""
    return wait_for(lambda: found if len(found := audit(kiln, **params)) >= count else None, f"{count} entries")


def told(items):
    return [(item["method"], item["route"], item["outcome"], item["resource"]["type"], item["resource"]["id"]) for item in items]


def test_every_write_leaves_an_entry(kiln, bot):
    project = bot.post("/projects", {"name": kiln.name()}, expect=201).json()
    etag = bot.get(f"/projects/{project['id']}", expect=200).headers["etag"]
    bot.patch(f"/projects/{project['id']}", {"description": "d"}, headers={"If-Match": etag}, expect=200)
    template = bot.post("/templates", {"name": kiln.name("t"), "text": "x"}, expect=201).json()["name"]
    token = bot.post("/tokens", {"name": "n", "scopes": ["builds:read"]}, expect=201).json()["id"]
    bot.delete(f"/tokens/{token}", expect=204)
    build = bot.post(f"/projects/{project['id']}/builds", waiting_spec(), expect=202).json()["task_id"]
    alias = bot.post(f"/project/{project['name']}/build", waiting_spec(), expect=202).json()["task_id"]
    both = bot.post("/project/create-and-build", {"project": {"name": kiln.name()}, "build": waiting_spec()}, expect=202).json()
    for task in (build, alias):
        bot.post(f"/builds/{task}/cancel", expect=202)
        kiln.tap.wait_end(task)
    bot.delete(f"/projects/{project['id']}", expect=204)
    found = wait_audit(kiln, 12, token=bot.id)
    assert sorted(told(found)) == sorted([
        ("POST", "/projects", "created", "project", project["id"]),
        ("PATCH", "/projects/{id}", "changed", "project", project["id"]),
        ("POST", "/templates", "created", "template", f"{template}@1"),
        ("POST", "/tokens", "created", "token", token),
        ("DELETE", "/tokens/{id}", "revoked", "token", token),
        ("POST", "/projects/{id}/builds", "accepted", "build", build),
        ("POST", "/project/{name}/build", "accepted", "build", alias),
        ("POST", "/project/create-and-build", "created", "project", both["project"]["id"]),
        ("POST", "/project/create-and-build", "accepted", "build", both["task_id"]),
        ("POST", "/builds/{taskId}/cancel", "accepted", "build", build),
        ("POST", "/builds/{taskId}/cancel", "accepted", "build", alias),
        ("DELETE", "/projects/{id}", "deleted", "project", project["id"]),
    ])
    assert {(item["token"]["id"], item["token"]["name"][:4]) for item in found} == {(bot.id, "bot ")}
    assert {item["address"] for item in found} == {"127.0.0.1"}
    times = [item["time"] for item in found]
    assert times == sorted(times, reverse=True)


def test_an_entry_has_the_id_of_its_request(kiln, bot):
    project = bot.post("/projects", {"name": kiln.name()}, headers={"X-Request-Id": "mine-1"}, expect=201).json()
    answer = bot.post(f"/projects/{project['id']}/builds", waiting_spec(), expect=202)
    task = answer.json()["task_id"]
    bot.post(f"/builds/{task}/cancel", headers={"X-Request-Id": "mine-2"}, expect=202)
    found = {item["route"]: item["request_id"] for item in wait_audit(kiln, 3, token=bot.id)}
    assert found == {"/projects": "mine-1", "/projects/{id}/builds": answer.headers["x-request-id"], "/builds/{taskId}/cancel": "mine-2"}


def test_what_changed_nothing_leaves_none(kiln, bot):
    project = bot.post("/projects", {"name": kiln.name()}, expect=201).json()
    bot.post("/projects", {"name": project["name"]}, expect=409)
    bot.post("/projects", {"name": "No"}, expect=422)
    bot.post("/tokens", {"name": "n", "scopes": ["admin"]}, expect=403)
    bot.patch(f"/projects/{project['id']}", {"description": "d"}, headers={"If-Match": '"9"'}, expect=412)
    bot.patch(f"/projects/{project['id']}", {"description": None}, headers={"If-Match": "*"}, expect=200)
    bot.delete(f"/tokens/{uuid.uuid4()}", expect=404)
    bot.post(f"/projects/{project['id']}/builds", {}, expect=422)
    bot.post(f"/builds/{uuid.uuid4()}/cancel", expect=404)
    last = bot.post("/templates", {"name": kiln.name("t"), "text": "x"}, expect=201).json()["name"]
    assert [item["resource"]["id"] for item in wait_audit(kiln, 2, token=bot.id)] == [f"{last}@1", project["id"]]


def test_a_repeated_key_leaves_one_entry(kiln, bot):
    headers = key()
    body = {"name": kiln.name()}
    project = [bot.post("/projects", body, headers=headers, expect=201).json() for _ in range(2)][0]
    tasks = {bot.post(f"/projects/{project['id']}/builds", waiting_spec(), headers=headers, expect=202).json()["task_id"] for _ in range(2)}
    for _ in range(2):
        bot.post(f"/builds/{min(tasks)}/cancel", headers=headers, expect=202)
    assert len(wait_audit(kiln, 3, token=bot.id)) == 3
    kiln.tap.wait_end(min(tasks))
    assert len(audit(kiln, token=bot.id)) == 3


def test_secrets_are_never_in_it(kiln, bot):
    project = bot.post("/projects", {"name": kiln.name()}, expect=201).json()
    token = bot.post("/tokens", {"name": "n", "scopes": ["builds:read"]}, expect=201).json()
    bot.post(f"/projects/{project['id']}/builds", waiting_spec(prompt="the-prompt-is-theirs"), expect=202)
    text = json.dumps(wait_audit(kiln, 3, token=bot.id))
    for secret in (bot.token, token["token"], project["webhook_secret"], "the-prompt-is-theirs"):
        assert secret not in text


def test_filters_and_pages(kiln, bot):
    projects = [bot.post("/projects", {"name": kiln.name()}, expect=201).json() for _ in range(2)]
    tasks = [bot.post(f"/projects/{project['id']}/builds", waiting_spec(), expect=202).json()["task_id"] for project in projects]
    found = wait_audit(kiln, 4, token=bot.id)
    assert audit(kiln, token=bot.id, limit=1) == found
    by_resource = {item["resource"]["id"]: item for item in found}
    for resource in (*[project["id"] for project in projects], *tasks):
        assert audit(kiln, resource=resource) == [by_resource[resource]]
        assert audit(kiln, resource=resource, token=str(uuid.uuid4())) == []
    assert audit(kiln, token=bot.id, created_after=found[1]["time"]) == found[:2]
    assert audit(kiln, token=bot.id, created_before=found[1]["time"]) == found[2:]
    cursor = kiln.api.get("/audit", params={"token": bot.id, "limit": 1}, expect=200).json()["next_cursor"]
    kiln.api.get("/audit", params={"cursor": cursor}, expect=400)
    answer = kiln.api.get("/audit", params={"token": "x", "resource": "A", "created_after": "y", "status": "failed"}, expect=400)
    assert all(name in answer.json()["detail"] for name in ("token", "resource", "created_after", "status"))


def test_what_is_no_id_is_refused_with_what_would_be_one(kiln):
    for resource in (kiln.project()["name"], kiln.api.post("/templates", {"name": kiln.name("t"), "text": "x"}, expect=201).json()["name"], "a@0", "a@x"):
        answer = kiln.api.get("/audit", params={"resource": resource}, expect=400)
        assert answer.json()["detail"] == "resource must be the id of a project, build, token or worker, or a template's name@version."
    template = kiln.api.post("/templates", {"name": kiln.name("t"), "text": "x"}, expect=201).json()
    assert [item["outcome"] for item in audit(kiln, resource=f"{template['name']}@1")] == ["created"]


def test_it_is_for_admins(kiln, bot):
    bot.get("/audit", expect=403)


def test_it_is_not_for_admins_of_some_projects(kiln):
    client = kiln.token(["admin"], projects=[kiln.project()["name"]])
    for params in ({}, {"token": client.id}, {"resource": client.id}):
        assert slug(client.get("/audit", params=params, expect=403)) == "forbidden"
    kiln.token(["admin"]).get("/audit", expect=200)
