"""Tokens: what they may do, and that they may do nothing else."""

import uuid

import pytest
from kiln_testing import contract
from kiln_testing.agents import spec, waiting_spec
from kiln_testing.client import slug
from kiln_testing.revoking import REVOKED_WITHIN_S, used_after_revocation
from kiln_testing.waiting import wait_for


def test_a_token_tells_what_it_may_do(kiln):
    project = kiln.project()
    client = kiln.token(["builds:read", "builds:write"], projects=[project["name"]], max_priority=3, name="night bot")
    me = client.get("/me", expect=200).json()
    assert me == {
        "id": client.id,
        "name": "night bot",
        "scopes": ["builds:read", "builds:write"],
        "projects": [project["name"]],
        "max_priority": 3,
        "expires_at": None,
    }


def test_a_token_is_shown_once_and_stored_hashed(kiln):
    answer = kiln.api.post("/tokens", {"name": "once", "scopes": ["builds:read"]}, expect=201).json()
    secret = answer.pop("token")
    listed = [item for item in kiln.api.pages("/tokens", limit=500) if item["id"] == answer["id"]]
    assert listed == [answer]
    rows = kiln.system.sql("select t::text from api_tokens t where id = %s", answer["id"])
    assert secret not in str(rows) and secret.encode().hex() not in str(rows)


@pytest.mark.parametrize("query", ["?nonsense=1", "?limit=0", "?cursor=%ff"])
def test_a_bad_query_without_a_token_is_401(kiln, query):
    kiln.api.with_token(None).get(f"/projects{query}", expect=401)
    kiln.api.get(f"/projects{query}", expect=400)


@pytest.mark.parametrize("header", [None, "", "Bearer", "Bearer x", "Basic a2lsbjprbG4=", "Bearer " + "x" * 5000, "bearer\tx y"])
def test_a_missing_or_wrong_token_is_401(kiln, header):
    client = kiln.api.with_token(None)
    headers = {} if header is None else {"Authorization": header}
    answer = client.get("/me", headers=headers, expect=401)
    assert slug(answer) == "unauthorized"
    client.post("/projects", {"name": "x"}, headers=headers, expect=401)


def test_a_challenge_tells_whether_there_was_a_token_and_which_scope_it_lacks(kiln):
    nobody = kiln.api.with_token(None)
    assert nobody.get("/me", expect=401).headers["www-authenticate"] == 'Bearer realm="kiln"'
    wrong = nobody.get("/me", headers={"Authorization": "Bearer x"}, expect=401).headers["www-authenticate"]
    assert wrong == 'Bearer realm="kiln", error="invalid_token"'
    lacks = kiln.token(["builds:read"]).get("/workers", expect=403).headers["www-authenticate"]
    assert lacks == 'Bearer realm="kiln", error="insufficient_scope", scope="workers:read"'


@pytest.mark.parametrize("operation", [o for o in contract.operations() if o.scopes is not None], ids=lambda o: o.id)
def test_a_route_without_a_token_is_401(kiln, operation):
    path = operation.path.replace("{taskId}", str(uuid.uuid4())).replace("{id}", "x").replace("{name}", "x")
    kiln.api.with_token(None).request(operation.method, path, body={}, expect=401)


@pytest.mark.parametrize("operation", [o for o in contract.operations() if o.scopes], ids=lambda o: o.id)
def test_a_route_needs_its_scopes(kiln, operation):
    body = {} if "requestBody" in operation.node else None
    everything = {"projects:read", "projects:write", "builds:read", "builds:write", "templates:read", "templates:write", "tokens:write"}
    path = operation.path.replace("{taskId}", str(uuid.uuid4())).replace("{id}", str(uuid.uuid4())).replace("{name}", "nobody")
    for missing in operation.scopes:
        client = kiln.token(everything - {missing})
        assert slug(client.request(operation.method, path, body=body, expect=403)) == "forbidden"
    exactly = kiln.token(operation.scopes)
    assert exactly.request(operation.method, path, body=body).status_code not in (401, 403)


def test_a_revoked_token_stops_working_within_five_seconds_at_a_gateway_that_has_it_in_memory(kiln, other_gateway):
    client = kiln.token(["builds:read"])
    there = kiln.at(other_gateway, client)
    there.get("/me", expect=200)
    kiln.api.delete(f"/tokens/{client.id}", expect=204)
    assert used_after_revocation(other_gateway.log, there) < REVOKED_WITHIN_S


def test_a_revoked_token_is_gone(kiln):
    client = kiln.token(["builds:read"])
    kiln.api.delete(f"/tokens/{client.id}", expect=204)
    client.get("/me", expect=401)
    assert client.id not in [item["id"] for item in kiln.api.pages("/tokens", limit=500)]
    kiln.api.delete(f"/tokens/{client.id}", expect=404)


def test_a_revocation_that_nobody_told_of_is_seen_within_five_seconds(kiln):
    """By the look of each second: what tells gateways of a change may be lost."""
    client = kiln.token(["builds:read"])
    client.get("/me", expect=200)
    kiln.system.sql("update api_tokens set revoked_at = now(), updated_at = now() where id = %s", client.id)
    assert used_after_revocation(kiln.system.folder / "log" / "gateway.log", client) < REVOKED_WITHIN_S


def test_an_expired_token_is_401(kiln):
    made, _ = kiln.short_token({"name": "test", "scopes": ["builds:read"]})
    client = kiln.api.with_token(made["token"])
    wait_for(lambda: client.get("/me").status_code == 401, "the token to expire")


def test_an_expiry_that_has_passed_is_422(kiln):
    kiln.api.post("/tokens", {"name": "x", "scopes": ["builds:read"], "expires_at": "2020-01-01T00:00:00Z"}, expect=422)


def test_nobody_gives_away_what_they_do_not_have(kiln):
    project, other = kiln.project(), kiln.project()
    client = kiln.token(["tokens:write", "builds:read"], projects=[project["name"]], max_priority=4)
    body = {"name": "child", "scopes": ["builds:read"], "projects": [project["name"]], "max_priority": 4}
    client.post("/tokens", body, expect=201)
    for change in ({"scopes": ["builds:write"]}, {"scopes": ["admin"]}, {"projects": [other["name"]]}, {"max_priority": 5}):
        client.post("/tokens", body | change, expect=(403, 422))
    child = client.post("/tokens", {"name": "child", "scopes": ["builds:read"]}, expect=201).json()
    assert child["projects"] == [project["name"]] and child["max_priority"] == 4


def test_a_foreign_projects_things_are_404(kiln):
    mine, foreign = kiln.project(), kiln.project()
    task = kiln.post(foreign, waiting_spec())
    scopes = ["projects:read", "projects:write", "builds:read", "builds:write"]
    client = kiln.token(scopes, projects=[mine["name"]])
    for key in (foreign["id"], foreign["name"]):
        client.get(f"/projects/{key}", expect=404)
        client.get(f"/projects/{key}/builds", expect=404)
        client.patch(f"/projects/{key}", {"branch": "x"}, headers={"If-Match": '"1"'}, expect=404)
        client.delete(f"/projects/{key}", expect=404)
        client.post(f"/projects/{key}/builds", spec("none"), expect=404)
        client.post(f"/project/{key}/build", spec("none"), expect=404)
    for route in ("", "/events", "/logs"):
        client.get(f"/builds/{task}{route}", expect=404)
    client.post(f"/builds/{task}/cancel", expect=404)
    assert [item["id"] for item in client.pages("/projects")] == [mine["id"]]
    assert kiln.build(task)["status"] == "pending"


def test_a_limited_token_makes_no_project_of_another_name(kiln):
    mine = kiln.project()
    client = kiln.token(["projects:write", "builds:write"], projects=[mine["name"]])
    name = kiln.name()
    client.post("/projects", {"name": name}, expect=(403, 404))
    client.post("/project/create-and-build", {"project": {"name": name}, "build": spec("none")}, expect=(403, 404))
    kiln.api.get(f"/projects/{name}", expect=404)


def test_a_limited_token_changes_nothing_that_all_projects_use(kiln):
    client = kiln.token(["templates:write", "workers:write"], projects=[kiln.project()["name"]])
    assert slug(client.post("/templates", {"name": kiln.name(), "text": "{{prompt}}"}, expect=403)) == "forbidden"
    assert slug(client.post(f"/workers/{uuid.uuid4()}/drain", expect=403)) == "forbidden"


@pytest.mark.parametrize("agent", [None, {"provider": "command", "command": "none"}], ids=["without", "with"])
def test_create_and_build_tells_a_limited_token_nothing_of_a_foreign_project(kiln, agent):
    mine, foreign = kiln.project(), kiln.project(agent=agent)
    client = kiln.token(["projects:write", "builds:write"], projects=[mine["name"]])

    def told(name):
        answer = client.post("/project/create-and-build", {"project": {"name": name}, "build": {"prompt": "x"}}, expect=(403, 422)).json()
        return answer["type"], answer["detail"].replace(name, "NAME"), answer.get("errors")

    assert told(foreign["name"]) == told(kiln.name())


def test_no_secret_is_ever_logged(kiln):
    token = kiln.token(["builds:read"])
    token.get("/me", expect=200)
    project = kiln.project()
    secrets = [token.token, kiln.system.env["KILN_TOKEN"], project["webhook_secret"], kiln.system.env["KILN_GIT_TOKEN"]]
    for path in (kiln.system.folder / "log").glob("*.log"):
        text = path.read_text(encoding="utf-8", errors="replace")
        assert not [secret for secret in secrets if secret in text], path
