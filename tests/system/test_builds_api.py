"""Builds as the API shows them."""

import concurrent.futures
import secrets
import uuid

import pytest
from kiln_testing.agents import spec, waiting_spec
from kiln_testing.client import pointers, slug
from kiln_testing.waiting import wait_for


def test_a_build_is_there_right_after_its_202(kiln):
    project = kiln.project()
    for _ in range(50):
        task = kiln.post(project, waiting_spec())
        build = kiln.api.get(f"/builds/{task}", expect=200).json()
        assert build["task_id"] == task and build["status"] == "pending" and build["phase"] == "queued"
        assert build["project"] == {"id": project["id"], "name": project["name"]}


def test_a_build_shows_its_resolved_spec(kiln):
    project = kiln.project(branch="dev", agent={"provider": "command", "command": "none"})
    task = kiln.post(project, {"prompt": "Do it.", "labels": ["nobody-has-this", "b", "a"], "metadata": {"k": "v"}})
    build = kiln.build(task)
    assert build["spec"] == {
        "prompt": "Do it.",
        "template": None,
        "variables": {},
        "auto_commit": False,
        "auto_push": False,
        "callback_url": None,
        "agent": {"provider": "command", "command": "none", "model": None, "max_turns": None, "max_tokens": None, "budget_usd": None},
        "branch": "dev",
        "commit_message": None,
        "priority": 5,
        "labels": ["a", "b", "nobody-has-this"],
        "timeout_s": 3600,
        "queue_timeout_s": 86400,
        "max_attempts": 3,
        "artifacts": [],
        "metadata": {"k": "v"},
        "continue_from": None,
        "wait_for_pipeline": False,
        "on_red": "none",
        "network": {"allow": []},
    }
    assert (build["attempt"], build["attempts_used"], build["max_attempts"], build["worker_id"]) == (0, 0, 3, None)
    assert (build["result"], build["started_at"], build["finished_at"]) == (None, None, None)
    assert wait_for(lambda: kiln.build(task)["created_at"], "the row") == build["created_at"]


def test_the_row_and_the_tail_show_the_same_build(kiln):
    project = kiln.project()
    task = kiln.post(project, waiting_spec())
    early = kiln.build(task)
    kiln.tap.wait_type(task, "build.pending")
    assert kiln.build(task) == early


def test_status_and_phase_never_go_back(kiln):
    project, _ = kiln.seeded()
    task = kiln.run(project, "for n in 1 2 3 4 5 6 7 8; do echo $n; done", auto_commit=True, auto_push=True)
    seen = []

    def has_ended():
        seen.append(kiln.build(task)["status"])
        return seen[-1] not in ("pending", "running")

    wait_for(has_ended, "the build to end", poll=0)
    order = ["pending", "running", "completed"]
    assert seen == sorted(seen, key=order.index) and seen[-1] == "completed"


def test_builds_that_are_asked_for_at_once_are_each_answered_with_their_own(kiln):
    projects = [kiln.project() for _ in range(2)]
    tasks = [kiln.post(projects[number % 2], waiting_spec(metadata={"n": str(number)})) for number in range(12)]
    kiln.tap.wait(lambda: all(kiln.tap.by_build.get(task) for task in tasks), "the rows")
    client = kiln.token(["builds:read"], projects=[projects[0]["name"]])

    def read(number):
        """(what the admin sees, what the token of the first project sees)"""
        task = tasks[number % len(tasks)]
        return kiln.build(task), client.get(f"/builds/{task}", expect=(200, 404))

    with concurrent.futures.ThreadPoolExecutor(16) as pool:
        unknown = pool.submit(kiln.api.get, f"/builds/{uuid.uuid4()}", expect=404)
        for number, (build, seen) in enumerate(pool.map(read, range(2 * len(tasks)))):
            task, n = tasks[number % len(tasks)], number % len(tasks)
            assert (build["task_id"], build["spec"]["metadata"]) == (task, {"n": str(n)})
            assert build["project"]["id"] == projects[n % 2]["id"]
            assert (seen.status_code, seen.json().get("task_id")) == ((200, task) if n % 2 == 0 else (404, None))
        unknown.result()


@pytest.mark.parametrize("size", [1000, 100_000])
def test_a_build_is_shown_whole_however_long_it_is(kiln, size):
    prompt = secrets.token_hex(size // 2)  # nothing that could be compressed away
    task = kiln.post(kiln.project(), waiting_spec(prompt=prompt))
    kiln.tap.wait_type(task, "build.pending")
    assert kiln.build(task)["spec"]["prompt"] == prompt


def test_the_alias_starts_a_build_too(kiln):
    project = kiln.project()
    answer = kiln.api.post(f"/project/{project['name']}/build", waiting_spec(), expect=202)
    assert kiln.build(answer.json()["task_id"])["project"]["id"] == project["id"]


def test_a_build_by_the_projects_name_is_a_build_of_the_project(kiln):
    project = kiln.project()
    answer = kiln.api.post(f"/projects/{project['name']}/builds", waiting_spec(), expect=202)
    assert answer.headers["location"] == f"/builds/{answer.json()['task_id']}"


def test_lists_of_builds_are_complete_newest_first_and_filtered(kiln):
    project, _ = kiln.seeded()
    waiting = [kiln.post(project, waiting_spec()) for _ in range(5)]
    done = kiln.run(project, "true")
    kiln.wait_end(done)
    for task in waiting:
        kiln.tap.wait_type(task, "build.pending")
    path = f"/projects/{project['id']}/builds"
    assert [item["task_id"] for item in kiln.api.pages(path, limit=2)] == [done, *waiting[::-1]]
    assert [item["task_id"] for item in kiln.api.pages(path, status="completed")] == [done]
    assert [item["task_id"] for item in kiln.api.pages(path, status="pending", limit=1)] == waiting[::-1]
    assert kiln.api.pages(path, status="failed") == []


def test_trails_and_logs_are_paged_and_start_after_a_sequence(kiln):
    project, _ = kiln.seeded()
    task = kiln.run(project, "seq 1 25")
    kiln.wait_end(task)
    events = kiln.trail(task)
    assert kiln.api.pages(f"/builds/{task}/events", limit=2) == events
    assert kiln.api.pages(f"/builds/{task}/events", after=3) == events[3:]
    assert kiln.api.pages(f"/builds/{task}/events", after=len(events)) == []
    log = kiln.log(task)
    assert kiln.api.pages(f"/builds/{task}/logs", limit=7) == log
    assert kiln.api.pages(f"/builds/{task}/logs", after=log[9]["sequence"], limit=4) == log[10:]


@pytest.mark.parametrize("key", [str(uuid.uuid4()), "0198c1de-7a3b-7c4d-8e5f-0123456789ab", "x", "1", "demo", "%00", "a" * 200])
@pytest.mark.parametrize("route", ["", "/events", "/logs", "/cancel"])
def test_an_unknown_build_is_404(kiln, key, route):
    method = "POST" if route == "/cancel" else "GET"
    kiln.api.request(method, f"/builds/{key}{route}", expect=400 if key == "%00" else 404)


def test_a_build_needs_an_agent_from_somewhere(kiln):
    project = kiln.project()
    assert "/agent" in pointers(kiln.api.post(f"/projects/{project['id']}/builds", {"prompt": "x"}, expect=422))


def test_push_without_commit_is_422(kiln):
    project = kiln.project()
    answer = kiln.api.post(f"/projects/{project['id']}/builds", spec("none", auto_push=True), expect=422)
    assert set(pointers(answer)) == {"/auto_push"}


@pytest.mark.parametrize("accept", ["text/plain", "text/html", "image/png"])
def test_a_form_that_is_not_offered_is_406(kiln, accept):
    project = kiln.project()
    task = kiln.post(project, waiting_spec())
    answer = kiln.api.get(f"/builds/{task}/events", headers={"Accept": accept}, expect=406)
    assert slug(answer) == "not-acceptable" and answer.json()["detail"].endswith("application/json, text/event-stream.")


@pytest.mark.parametrize("accept", ["*/*", "application/*", "application/json;q=0.5, text/html", "application/json; charset=utf-8"])
def test_usual_accept_headers_get_json(kiln, accept):
    kiln.api.get("/me", headers={"Accept": accept}, expect=200)


def test_priority_above_the_tokens_is_refused(kiln):
    project = kiln.project()
    client = kiln.token(["builds:write"], max_priority=4)
    path = f"/projects/{project['id']}/builds"
    client.post(path, waiting_spec(priority=5), expect=(403, 422))
    client.post(path, waiting_spec(priority=4), expect=202)
