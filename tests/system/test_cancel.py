"""Cancelling in every state."""

import uuid

from kiln_testing import trail
from kiln_testing.agents import waiting_spec
from kiln_testing.client import pointers, slug
from kiln_testing.waiting import wait_for

HANGS = "marker={}\nexport marker\n(sleep 600 & setsid sleep 600 &)\ntrap '' TERM HUP INT\necho started\nwhile :; do sleep 600; done"


def test_a_queued_build_is_cancelled_at_once(kiln):
    task = kiln.post(kiln.project(), waiting_spec())
    answer = kiln.cancel(task)
    assert answer["task_id"] == task
    build = kiln.wait_end(task)
    assert build["status"] == "cancelled" and build["attempts_used"] == 0 and build["started_at"] is None
    assert build["result"]["success"] is False and build["result"]["error"]["class"] == "cancelled"
    assert trail.verify(kiln.trail(task))[-1] == "build.cancelled"


def test_a_running_build_is_cancelled_and_leaves_no_process(kiln):
    project, repository = kiln.seeded()
    before = repository.tip()
    marker = uuid.uuid4().hex
    task = kiln.run(project, HANGS.format(marker), auto_commit=True, auto_push=True)
    kiln.wait_phase(task, "agent")
    wait_for(lambda: len(kiln.leftovers(marker)) >= 3, "the agent and its children to run")
    kiln.cancel(task)
    build = kiln.wait_end(task)
    assert build["status"] == "cancelled" and build["result"]["error"]["class"] == "cancelled"
    assert kiln.leftovers(marker) == []
    assert repository.tip() == before
    assert any(event["data"].get("cancel_requested") for event in kiln.trail(task))


def test_cancelling_twice_is_cancelling_once(kiln):
    project, _ = kiln.seeded()
    task = kiln.run(project, "sleep 600")
    kiln.wait_phase(task, "agent")
    for _ in range(5):
        kiln.cancel(task)
    kiln.wait_end(task)
    assert kiln.cancel(task)["status"] == "cancelled"
    assert trail.verify(kiln.trail(task)).count("build.cancelled") == 1


def test_a_build_that_has_ended_otherwise_is_409_with_its_status(kiln):
    project, _ = kiln.seeded()
    for script, status in (("true", "completed"), ("exit 1", "failed")):
        task = kiln.run(project, script)
        kiln.wait_end(task)
        answer = kiln.api.post(f"/builds/{task}/cancel", expect=409)
        assert slug(answer) == "build-ended" and answer.json()["build_status"] == status


def test_a_field_that_a_cancel_does_not_take_is_refused_and_cancels_nothing(kiln):
    task = kiln.post(kiln.project(), waiting_spec())
    assert list(pointers(kiln.api.post(f"/builds/{task}/cancel", {"force": True}, expect=422))) == ["/force"]
    kiln.api.post(f"/builds/{task}/cancel", {}, expect=202)
    kiln.wait_end(task)
    assert [event["type"] for event in kiln.trail(task)] == ["build.pending", "build.cancelled"]


def test_a_cancel_right_after_the_post_ends_the_build(kiln):
    project, _ = kiln.seeded()
    tasks = [kiln.run(project, "sleep 600") for _ in range(8)]
    for task in tasks:
        kiln.cancel(task)
    for task in tasks:
        assert kiln.wait_end(task)["status"] == "cancelled"


def test_a_cancelled_build_is_told_by_webhook(kiln):
    inbox = kiln.receiver.inbox()
    task = kiln.post(kiln.project(), waiting_spec(callback_url=inbox.url))
    kiln.cancel(task)
    assert b'"build.cancelled"' in inbox.wait(1)[0].body


def test_the_slot_of_a_cancelled_build_is_free_again(kiln):
    label = f"l{uuid.uuid4().hex[:8]}"
    with kiln.system.executor(slots=1, labels=[label]):
        project, _ = kiln.seeded()
        first = kiln.run(project, "sleep 600", labels=[label])
        kiln.wait_phase(first, "agent")
        second = kiln.run(project, "true", labels=[label])
        kiln.cancel(first)
        assert kiln.wait_end(first)["status"] == "cancelled"
        assert kiln.wait_end(second)["status"] == "completed"
