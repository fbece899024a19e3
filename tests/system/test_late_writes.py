"""A write whose time is over before it is done: what its 503 says stays true, whatever comes of it later."""

import concurrent.futures

import pytest
from kiln_testing.agents import waiting_spec
from kiln_testing.client import NOTHING_DONE, key, slug
from kiln_testing.relay import far_gateway
from kiln_testing.services import ready_gateway
from kiln_testing.waiting import wait_for


@pytest.fixture(name="late", scope="module")
def late_fixture(shared_system):
    """A gateway of one worker, which gives a request little time."""
    with ready_gateway(shared_system, KILN_WORKERS="1", KILN_REQUEST_TIMEOUT_MS="300") as gateway:
        yield gateway


def worker_is_free(kiln, late):
    """It has done with all that came before, for it takes one after the other."""
    kiln.at(late).get("/templates", params={"limit": 1}, expect=200)


def both(name):
    return {"project": {"name": name}, "build": waiting_spec()}


# -- given up: each is (the table, the mode of its lock, the request at a client, the proof that it had no effect)


def new_project(kiln):
    name = kiln.name()
    return "projects", "share", lambda api: api.post("/projects", {"name": name}), lambda: kiln.api.get(f"/projects/{name}", expect=404)


def new_project_with_a_build(kiln):
    body, path = both(name := kiln.name()), "/project/create-and-build"
    return "projects", "share", lambda api: api.post(path, body), lambda: kiln.api.get(f"/projects/{name}", expect=404)


def changed_project(kiln):
    path = f"/projects/{kiln.project()['id']}"

    def is_as_before():
        assert kiln.api.get(path, expect=200).json()["version"] == 1

    return "projects", "share", lambda api: api.patch(path, {"branch": "x"}, headers={"If-Match": "*"}), is_as_before


def deleted_project(kiln):
    path = f"/projects/{kiln.project()['id']}"
    return "projects", "share", lambda api: api.delete(path), lambda: kiln.api.get(path, expect=200)


def new_template(kiln):
    body = {"name": kiln.name("t"), "text": "x"}
    path = f"/templates/{body['name']}"
    return "templates", "share", lambda api: api.post("/templates", body), lambda: kiln.api.get(path, expect=404)


def revoked_token(kiln):
    token = kiln.token(["builds:read"])

    def is_listed():
        assert token.id in [item["id"] for item in kiln.api.pages("/tokens", limit=500)]

    return "api_tokens", "share", lambda api: api.delete(f"/tokens/{token.id}"), is_listed


def cancelled_build(kiln):
    task = kiln.waiting()

    def one_wish_only():
        """That of now: they lie in one partition."""
        kiln.cancel(task)
        kiln.wait_end(task)
        assert len(kiln.tap.of(task, "kiln.build.requests", "build.cancel_requested")) == 1

    return "idempotency_keys", "access exclusive", lambda api: api.post(f"/builds/{task}/cancel", headers=key()), one_wish_only


def repeated_build(kiln):
    project = kiln.project()
    task = kiln.waiting(project)
    kiln.cancel(task)
    kiln.wait_end(task)

    def no_build_waits():
        """A project with one is not deleted, also when its record is still to be applied."""
        kiln.api.delete(f"/projects/{project['id']}", expect=204)

    return "pruned_builds", "access exclusive", lambda api: api.post(f"/builds/{task}/retry", headers=key()), no_build_waits


GIVEN_UP = (
    new_project,
    new_project_with_a_build,
    changed_project,
    deleted_project,
    new_template,
    revoked_token,
    cancelled_build,
    repeated_build,
)


@pytest.mark.parametrize("write", GIVEN_UP, ids=lambda write: write.__name__)
def test_a_write_that_is_late_before_its_effect_has_none(kiln, late, write):
    table, mode, request, assert_no_effect = write(kiln)
    with kiln.system.locked(table, mode):
        answer = request(kiln.at(late))
    assert answer.status_code == 503 and slug(answer) in NOTHING_DONE
    worker_is_free(kiln, late)
    assert_no_effect()


def test_a_write_that_no_worker_takes_in_time_is_never_begun(kiln, late):
    names = [kiln.name() for _ in range(4)]
    before = late.metric("kiln_gateway_refused_requests_total")
    with kiln.system.locked("projects", "share"), concurrent.futures.ThreadPoolExecutor(len(names)) as pool:
        answers = list(pool.map(lambda name: kiln.at(late).post("/projects", {"name": name}, expect=503), names))
    slugs = [slug(answer) for answer in answers]
    assert "overloaded" in slugs and set(slugs) <= set(NOTHING_DONE), slugs
    assert late.metric("kiln_gateway_refused_requests_total") - before == slugs.count("overloaded")
    worker_is_free(kiln, late)
    for name in names:
        kiln.api.get(f"/projects/{name}", expect=404)


# -- begun: the row of the audit is written with the commit


def unknown(answer):
    """The problem; None: it was given up before."""
    return answer.json() if slug(answer) == "outcome-unknown" else None


def test_a_commit_that_is_late_is_told_as_unknown_and_may_have_its_effect(kiln, late):
    names = []

    def post():
        names.append(kiln.name())
        return unknown(kiln.at(late).post("/projects", {"name": names[-1]}, expect=503))

    with kiln.system.locked("audit_log", "share"):
        told = wait_for(post, "the request to be in its commit")
    assert told["outcome"] == "unknown" and "task_id" not in told
    wait_for(lambda: kiln.api.get(f"/projects/{names[-1]}", expect=(200, 404)).status_code == 200, "the commit")
    for name in names[:-1]:
        kiln.api.get(f"/projects/{name}", expect=404)


def test_a_build_that_is_started_after_its_answer_was_named_in_it(kiln, late):
    bodies = []

    def post():
        bodies.append((both(kiln.name()), key()))
        return unknown(kiln.at(late).post("/project/create-and-build", bodies[-1][0], headers=bodies[-1][1], expect=503))

    with kiln.system.locked("audit_log", "share"):
        told = wait_for(post, "the request to be in its commit")
    body, headers = bodies[-1]
    path = f"/builds/{told['task_id']}"
    build = wait_for(lambda: answer.json() if (answer := kiln.api.get(path, expect=(200, 404))).status_code == 200 else None, "the build")
    assert build["project"]["name"] == body["project"]["name"]
    assert kiln.api.post("/project/create-and-build", body, headers=headers, expect=202).json()["task_id"] == told["task_id"]
    for body, _ in bodies[:-1]:
        kiln.api.get(f"/projects/{body['project']['name']}", expect=404)
    kiln.cancel(told["task_id"])


def test_a_commit_whose_answer_is_lost_is_told_as_unknown(kiln):
    waiting = "select 1 from pg_locks where relation = 'audit_log'::regclass and not granted"
    name = kiln.name("t")
    with far_gateway(kiln.system) as (gateway, postgres, _), concurrent.futures.ThreadPoolExecutor(1) as pool:

        def lost():
            """None: another one's commit was seen to wait, and this one's was not sent yet."""
            postgres.set_mode("pass")
            wait_for(lambda: gateway.metric("kiln_gateway_database_up") == 1, "Postgres to be found again")
            with kiln.system.locked("audit_log", "share"):
                later = pool.submit(kiln.at(gateway).post, "/templates", {"name": name, "text": "x"}, expect=503)
                wait_for(lambda: later.done() or kiln.system.sql(waiting), "the commit to wait")
                postgres.set_mode("refuse", cut=True)
                return unknown(later.result(120))

        told = wait_for(lost, "an answer to be lost")
    assert told["outcome"] == "unknown" and "task_id" not in told


def test_a_cancel_whose_key_cannot_be_kept_is_told_as_unknown_and_may_be_repeated(kiln):
    task, headers = kiln.waiting(), key()
    path = f"/builds/{task}/cancel"
    with kiln.system.locked("idempotency_keys", "share"):
        told = wait_for(lambda: unknown(kiln.api.post(path, headers=headers, expect=503)), "the wish to be sent")
    assert told["outcome"] == "unknown" and told["task_id"] == task
    assert kiln.wait_end(task)["status"] == "cancelled"
    kiln.api.post(path, headers=headers, expect=202)
