"""Idempotency-Key on POSTs that start no build: for a day, the first answer again and nothing done twice."""

import concurrent.futures
import datetime
import hashlib
import hmac
import struct
import uuid

import psycopg
import pytest
from kiln_testing.agents import waiting_spec
from kiln_testing.client import key, slug
from kiln_testing.services import ready_gateway
from kiln_testing.waiting import wait_for


@pytest.fixture(name="second", scope="module")
def second_fixture(shared_system):
    with ready_gateway(shared_system) as gateway:
        yield gateway


def bodies(kiln, path):
    """A body of the route, and another one."""
    name = kiln.name()
    return {
        "/projects": ({"name": name}, {"name": name, "branch": "x"}),
        "/templates": ({"name": name, "text": "a"}, {"name": name, "text": "b"}),
        "/tokens": ({"name": name, "scopes": ["builds:read"]}, {"name": name, "scopes": ["builds:write"]}),
    }[path]


def key_id(kiln, route, scope, headers):
    """The key of its row, as the contract makes ids of keys."""
    [[secret]] = kiln.system.sql("select secret from deployment")
    parts = [kiln.api.get("/me", expect=200).json()["id"], route, scope, headers["Idempotency-Key"].strip('"')]
    message = b"".join(struct.pack(">I", len(part)) + part.encode() for part in parts)
    return hmac.new(secret, message, hashlib.sha256).digest()


def kept(kiln, route, scope, headers):
    return kiln.system.sql("select 1 from idempotency_keys where id = %s", key_id(kiln, route, scope, headers)) != []


ROUTES = pytest.mark.parametrize("path", ["/projects", "/templates", "/tokens"])


@ROUTES
def test_a_repeated_post_has_the_same_answer_at_every_gateway(kiln, second, path):
    body, _ = bodies(kiln, path)
    headers = key()
    first = kiln.api.post(path, body, headers=headers, expect=201)
    for client in (kiln.api, kiln.at(second)):
        again = client.post(path, body, headers=headers, expect=201)
        assert again.json() == first.json()
        for name in ("location", "etag", "cache-control", "content-type"):
            assert again.headers.get(name) == first.headers.get(name), name


@ROUTES
def test_another_body_is_422_and_does_nothing(kiln, second, path):
    body, other = bodies(kiln, path)
    headers = key()
    first = kiln.api.post(path, body, headers=headers, expect=201).json()
    for client in (kiln.api, kiln.at(second)):
        assert slug(client.post(path, other, headers=headers, expect=422)) == "idempotency-key-reused"
    assert kiln.api.post(path, body, headers=headers, expect=201).json() == first


def test_a_repeated_template_is_no_new_version(kiln):
    body, _ = bodies(kiln, "/templates")
    headers = key()
    for _ in range(3):
        kiln.api.post("/templates", body, headers=headers, expect=201)
    assert kiln.api.get(f"/templates/{body['name']}", expect=200).json()["version"] == 1
    assert kiln.api.post("/templates", body, headers=key(), expect=201).json()["version"] == 2


def test_a_repeated_token_is_the_same_token_and_lies_nowhere_in_clear(kiln):
    body, _ = bodies(kiln, "/tokens")
    headers = key()
    token = kiln.api.post("/tokens", body, headers=headers, expect=201).json()["token"]
    assert kiln.api.post("/tokens", body, headers=headers, expect=201).json()["token"] == token
    assert kiln.api.with_token(token).get("/me", expect=200).json()["name"] == body["name"]
    assert len([item for item in kiln.api.pages("/tokens", limit=500) if item["name"] == body["name"]]) == 1
    assert kiln.system.sql("select count(*) from idempotency_keys where position(%s::bytea in answer) > 0", token.encode()) == [(0,)]


def test_a_repeated_post_is_not_judged_by_what_time_it_is(kiln):
    body, headers = bodies(kiln, "/tokens")[0], key()
    first, ends = kiln.short_token(body, headers=headers)
    body |= {"expires_at": ends.isoformat()}
    wait_for(lambda: datetime.datetime.now(datetime.UTC) > ends, "the time to pass")
    assert kiln.api.post("/tokens", body, headers=headers, expect=201).json() == first
    kiln.api.post("/tokens", body, headers=key(), expect=422)
    assert slug(kiln.api.post("/tokens", body | {"name": kiln.name()}, headers=headers, expect=422)) == "idempotency-key-reused"


def test_a_repeated_cancel_answers_as_before_the_end(kiln):
    task = kiln.post(kiln.project(), waiting_spec())
    headers = key()
    first = kiln.api.post(f"/builds/{task}/cancel", headers=headers, expect=202).json()
    kiln.wait_end(task)
    assert kiln.api.post(f"/builds/{task}/cancel", headers=headers, expect=202).json() == first
    assert kiln.api.post(f"/builds/{task}/cancel", headers=key(), expect=202).json()["status"] == "cancelled"
    assert kiln.api.post(f"/builds/{task}/cancel", {}, headers=headers, expect=202).json() == first
    assert slug(kiln.api.post(f"/builds/{task}/cancel", {"why": "a body"}, headers=headers, expect=422)) == "validation-failed"


def test_a_key_means_its_own_route_thing_and_token(kiln):
    headers, names = key(), [kiln.name() for _ in range(2)]
    other = kiln.token(["projects:write", "tokens:write"])
    project = kiln.api.post("/projects", {"name": names[0]}, headers=headers, expect=201).json()
    assert other.post("/projects", {"name": names[1]}, headers=headers, expect=201).json()["id"] != project["id"]
    kiln.api.post("/tokens", {"name": names[0], "scopes": ["builds:read"]}, headers=headers, expect=201)
    for _ in range(2):
        kiln.api.post(f"/builds/{kiln.post(project, waiting_spec())}/cancel", headers=headers, expect=202)


def test_a_request_that_failed_may_be_repeated_with_its_key(kiln):
    headers, name = key(), kiln.name()
    project = kiln.project(name=name)
    kiln.api.post("/projects", {"name": name}, headers=headers, expect=409)
    kiln.api.post("/projects", {"name": name, "unknown": 1}, headers=headers, expect=422)
    assert not kept(kiln, "POST /projects", "", headers)
    kiln.api.delete(f"/projects/{project['id']}", expect=204)
    made = kiln.api.post("/projects", {"name": name}, headers=headers, expect=201).json()
    assert made["id"] != project["id"] and kept(kiln, "POST /projects", "", headers)


@ROUTES
def test_racing_posts_with_one_key_do_one_thing(kiln, second, path):
    body, other = bodies(kiln, path)
    headers, clients = key(), (kiln.api, kiln.at(second))

    def post(number):
        return clients[number % 2].post(path, (body, other)[number // 2 % 2], headers=headers, expect=(201, 422))

    with concurrent.futures.ThreadPoolExecutor(6) as pool:
        answers = list(pool.map(post, range(12)))
    done = [answer.json() for answer in answers if answer.status_code == 201]
    assert len(done) == 6 and all(answer == done[0] for answer in done)


def test_a_key_that_another_request_holds_is_503_and_nothing_is_done(kiln):
    body, _ = bodies(kiln, "/templates")
    headers = key()
    row = key_id(kiln, "POST /templates", "", headers)
    with psycopg.connect(kiln.system.env["KILN_DATABASE_URL"]) as other:
        other.execute("select pg_advisory_xact_lock(('x' || left(encode(%s::bytea, 'hex'), 16))::bit(64)::bigint)", [row])
        # Another 503 says that Postgres was slow too.
        wait_for(lambda: slug(kiln.api.post("/templates", body, headers=headers, expect=503)) == "overloaded", "the key to be waited for")
    assert kiln.api.post("/templates", body, headers=headers, expect=201).json()["version"] == 1


def test_a_project_that_was_made_once_is_announced_once(kiln):
    headers, body = key(), {"name": kiln.name()}
    for _ in range(3):
        project = kiln.api.post("/projects", body, headers=headers, expect=201).json()
    kiln.api.delete(f"/projects/{project['id']}", expect=204)

    def events():
        found = [record for record in kiln.tap.records if record.topic == "kiln.project.events" and record.key == project["id"]]
        return [record.type for record in found]

    wait_for(lambda: events() == ["project.created", "project.deleted"], "both events and no other")


def test_a_key_is_free_again_after_a_day(kiln):
    body, other = bodies(kiln, "/templates")
    headers = key()
    kiln.api.post("/templates", body, headers=headers, expect=201)
    row = key_id(kiln, "POST /templates", "", headers)
    kiln.system.sql("update idempotency_keys set created_at = now() - interval '24 hours' where id = %s", row)
    assert kiln.api.post("/templates", other, headers=headers, expect=201).json()["version"] == 2
    kiln.api.post("/templates", body, headers=headers, expect=422)


def test_keys_older_than_a_day_are_deleted(kiln):
    row = uuid.uuid4().bytes
    kiln.system.sql("insert into idempotency_keys values (%s, '', '', now() - interval '25 hours')", row)
    with ready_gateway(kiln.system):
        wait_for(lambda: kiln.system.sql("select 1 from idempotency_keys where id = %s", row) == [], "the key to go")


@pytest.mark.parametrize("path", ["/projects", "/templates", "/tokens", f"/builds/{uuid.uuid4()}/cancel"])
def test_a_malformed_key_is_400(kiln, path):
    body = bodies(kiln, path)[0] if "cancel" not in path else None
    for value in ("", '"unfinished', "x" * 256):
        kiln.api.post(path, body, headers={"Idempotency-Key": value}, expect=400)


def test_two_keys_are_400(kiln):
    answer = kiln.api.plain("POST", "/projects", json={"name": kiln.name()}, headers=[("Idempotency-Key", "a"), ("Idempotency-Key", "b")])
    assert answer.status_code == 400 and slug(answer) == "bad-request"


def test_every_post_of_the_contract_takes_a_key(kiln):
    contract = kiln.api.get("/openapi.json", expect=200).json()

    def parameters(path):
        found = path.get("parameters", []) + path["post"].get("parameters", [])
        return [resolve(parameter)["name"] for parameter in found]

    def resolve(thing):
        while "$ref" in thing:
            found = contract
            for part in thing["$ref"].removeprefix("#/").split("/"):
                found = found[part.replace("~1", "/").replace("~0", "~")]
            thing = found
        return thing

    posts = {name: resolve(path) for name, path in contract["paths"].items() if "post" in resolve(path)}
    assert len(posts) >= 7
    assert [name for name, path in posts.items() if "Idempotency-Key" not in parameters(path)] == []
