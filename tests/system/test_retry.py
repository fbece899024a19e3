"""POST /builds/{taskId}/retry: an ended build once more."""

import uuid

from kiln_testing.agents import WAITS, Gate, spec, waiting_spec
from kiln_testing.client import key, pointers, slug
from kiln_testing.waiting import wait_for


def retry(kiln, task, expect=202, **kwargs):
    return kiln.api.post(f"/builds/{task}/retry", expect=expect, **kwargs).json()


def ended(kiln, project, **fields):
    """A build that was cancelled while it waited."""
    task = kiln.post(project, spec("none", **(WAITS | fields)))
    kiln.cancel(task)
    kiln.wait_end(task)
    return task


def requests_of(kiln, task):
    kiln.tap.wait_type(task, "build.requested")
    return kiln.tap.of(task, "kiln.build.requests", "build.requested")


def test_a_failed_build_is_repeated_and_may_succeed(kiln):
    project, repository = kiln.seeded()
    gate = Gate(kiln)
    first = kiln.run(project, f"test -e {gate.path}; echo x > x.txt", auto_commit=True, auto_push=True, metadata={"ticket": "1"}, priority=6)
    assert kiln.wait_end(first)["status"] == "failed"
    gate.open()
    answer = retry(kiln, first)
    second = answer["task_id"]
    assert answer["retry_of"] == first and second != first
    build, before = kiln.wait_end(second), kiln.build(first)
    assert build["status"] == "completed" and build["retry_of"] == first
    assert before["status"] == "failed" and before["retry_of"] is None
    assert build["spec"] == before["spec"]
    with repository.clone() as clone:
        assert clone.commits_of(second) == [build["result"]["commit_sha"]]


def test_the_record_says_what_it_repeats_and_whose_wish_it_is(kiln):
    project = kiln.project()
    task = ended(kiln, project)
    bot = kiln.token(["builds:write", "builds:read"], projects=[project["name"]])
    again = bot.post(f"/builds/{task}/retry", expect=202)
    assert again.headers["location"] == f"/builds/{again.json()['task_id']}"
    (record,) = requests_of(kiln, again.json()["task_id"])
    (original,) = requests_of(kiln, task)
    assert record.data["retry_of"] == task and record.data["owner"] == bot.id
    assert record.data["spec"] == original.data["spec"]
    kiln.cancel(again.json()["task_id"])


def test_a_field_that_a_retry_does_not_take_is_refused(kiln):
    task = ended(kiln, kiln.project())
    assert list(pointers(kiln.api.post(f"/builds/{task}/retry", {"prompt": "another"}, expect=422))) == ["/prompt"]
    kiln.api.request("POST", f"/builds/{task}/retry", content=b"prompt=another", headers={"Content-Type": "text/plain"}, expect=415)
    again = kiln.api.post(f"/builds/{task}/retry", {}, expect=202).json()["task_id"]
    kiln.cancel(again)


def test_a_build_that_has_not_ended_is_409(kiln):
    task = kiln.post(kiln.project(), waiting_spec())
    answer = kiln.api.post(f"/builds/{task}/retry", expect=409)
    assert slug(answer) == "build-not-ended" and answer.json()["build_status"] == "pending"
    kiln.cancel(task)


def test_the_same_key_is_the_same_retry(kiln):
    project = kiln.project()
    one, other, headers = ended(kiln, project), ended(kiln, project), key()
    tasks = {retry(kiln, one, headers=headers)["task_id"] for _ in range(3)}
    assert len(tasks) == 1
    (task,) = tasks
    assert task != retry(kiln, other, headers=headers)["task_id"]
    assert {task} != {retry(kiln, one)["task_id"]}
    kiln.tap.wait_type(task, "build.pending")
    repeats = kiln.system.sql("select count(*) from build_audit where retry_of = %s and id = %s", one, task)
    assert repeats == [(1,)]


def test_the_key_of_a_retry_holds_when_what_it_repeats_was_pruned(kiln):
    task, headers = ended(kiln, kiln.project()), key()
    again = kiln.api.post(f"/builds/{task}/retry", headers=headers, expect=202).json()["task_id"]
    kiln.tap.wait_type(again, "build.pending")
    kiln.prune(task)
    wait_for(lambda: kiln.api.get(f"/builds/{task}").status_code == 404, "the build to be gone")  # the gateway may have read it before
    assert kiln.api.post(f"/builds/{task}/retry", headers=headers, expect=202).json()["task_id"] == again
    kiln.api.post(f"/builds/{task}/retry", expect=404)
    kiln.cancel(again)


def test_a_retry_goes_to_where_the_project_is_now(kiln):
    project = kiln.project()
    task = ended(kiln, project)
    etag = kiln.api.get(f"/projects/{project['id']}", expect=200).headers["etag"]
    kiln.api.patch(f"/projects/{project['id']}", {"git_url": "https://git.example.org/x.git"}, headers={"If-Match": etag}, expect=200)
    (record,) = requests_of(kiln, retry(kiln, task)["task_id"])
    assert record.data["git"]["url"] == "https://git.example.org/x.git"


def test_a_build_of_a_deleted_project_is_not_repeated(kiln):
    project = kiln.project()
    task = ended(kiln, project)
    etag = kiln.api.get(f"/projects/{project['id']}", expect=200).headers["etag"]
    kiln.api.delete(f"/projects/{project['id']}", headers={"If-Match": etag}, expect=204)
    assert slug(kiln.api.post(f"/builds/{task}/retry", expect=409)) == "build-not-retryable"


def test_nobody_repeats_what_he_may_not_see_or_not_order(kiln):
    project = kiln.project()
    task = ended(kiln, project, priority=8)
    kiln.token(["builds:write"], projects=["another"]).post(f"/builds/{task}/retry", expect=404)
    kiln.token(["builds:write"], max_priority=7).post(f"/builds/{task}/retry", expect=403)
    kiln.token(["builds:read"]).post(f"/builds/{task}/retry", expect=403)
    kiln.api.post(f"/builds/{uuid.uuid4()}/retry", expect=404)
    assert kiln.system.sql("select count(*) from build_audit where retry_of = %s", task) == [(0,)]
