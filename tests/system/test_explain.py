"""GET /builds/{taskId}/explain and GET /queue: why builds wait. What the words are for is the dispatcher's own match."""

import datetime
import uuid

from kiln_testing.agents import Gate, spec
from kiln_testing.waiting import wait_for


def label():
    return f"l{uuid.uuid4().hex[:10]}"


def time_of(text):
    return datetime.datetime.fromisoformat(text)


def explain(kiln, task):
    return kiln.api.get(f"/builds/{task}/explain", expect=200).json()


def codes(answer):
    return [blocker["code"] for blocker in answer["blockers"]]


def blocked(kiln, task, *expected):
    """The explanation, once these are what is in the way."""
    return wait_for(lambda: codes(answer := explain(kiln, task)) == list(expected) and answer, f"{task} to be blocked by {expected}")


def waits(kiln, project, **fields):
    task = kiln.post(project, spec("none", **fields))
    kiln.tap.wait_type(task, "build.pending")
    return task


def holds(kiln, project, gate, **fields):
    task = kiln.run(project, gate.script, **fields)
    kiln.wait_phase(task, "agent")
    return task


def lines(kiln, api, project):
    return [line for line in api.pages("/queue", limit=500) if line["project"]["id"] == project["id"]]


def test_a_build_without_a_worker_for_its_labels_says_so(kiln):
    own = label()
    task = waits(kiln, kiln.project(), labels=[own, "a"])
    answer = blocked(kiln, task, "no_worker")
    assert (answer["status"], answer["phase"], answer["workers"], answer["estimate"]) == ("pending", "queued", [], None)
    assert answer["queue"]["labels"] == sorted([own, "a"]) and answer["queue"]["agent"] == "command"
    assert answer["blockers"][0]["detail"] == f'No worker with the agent "command" has one of the labels "a", "{own}".'
    assert answer["queue"]["position"] == 1 and answer["queue"]["deadline"] > answer["queue"]["queued_at"]
    kiln.cancel(task)
    kiln.wait_end(task)
    ended = explain(kiln, task)
    assert (ended["status"], ended["blockers"], ended["queue"], ended["estimate"]) == ("cancelled", [], None, None)


def test_busy_slots_are_told_with_whose_they_are_and_whose_turn_is_before(kiln):
    project, _ = kiln.seeded()
    own, gate = label(), Gate(kiln)
    with kiln.system.executor(slots=1, labels=[own]) as executor:
        assert kiln.wait_end(kiln.run(project, "true", labels=[own]))["status"] == "completed"
        running = holds(kiln, project, gate, labels=[own])
        tasks = [kiln.run(project, "true", labels=[own], priority=priority) for priority in (5, 7, 3)]
        for task in tasks:
            kiln.tap.wait_type(task, "build.pending")
        turns = [tasks[1], tasks[0], tasks[2]]
        answers = [blocked(kiln, task, "slots_busy") for task in turns]
        assert [answer["queue"]["position"] for answer in answers] == [1, 2, 3]
        for answer in answers:
            (worker,) = answer["workers"]
            assert (worker["worker_id"], worker["standing"], worker["slots"], worker["slots_free"]) == (executor.worker_id, "busy", 1, 0)
            assert answer["blockers"][0]["detail"] == "All slots of the 1 worker that could run it now are taken."
            assert answer["queue"]["line"] == "workers" and "on average" in answer["estimate"]["method"]
        starts = [time_of(answer["estimate"]["starts_at"]) for answer in answers]  # of a later turn, and asked for later
        assert starts[0] < starts[1] < starts[2]
        assert codes(explain(kiln, running)) == [] and explain(kiln, running)["queue"] is None
        gate.open()
        ends = {task: kiln.wait_end(task)["started_at"] for task in tasks}
        assert sorted(tasks, key=ends.get) == turns


def test_hostnames_are_for_those_who_may_read_workers(kiln):
    own, gate = label(), Gate(kiln)
    project, _ = kiln.seeded()
    with kiln.system.executor(slots=1, labels=[own]) as executor:
        running = holds(kiln, project, gate, labels=[own])
        task = kiln.run(project, "true", labels=[own])
        blocked(kiln, task, "slots_busy")
        told = [
            client.get(f"/builds/{task}/explain", expect=200).json()["workers"]
            for client in (kiln.token(["builds:read"]), kiln.token(["builds:read", "workers:read"]), kiln.api)
        ]
        assert {worker["worker_id"] for workers in told for worker in workers} == {executor.worker_id}
        assert [worker["hostname"] is not None for workers in told for worker in workers] == [False, True, True]
        gate.open()
        for build in (running, task):
            kiln.wait_end(build)


def test_a_full_project_is_told_and_parked_builds_are_counted(kiln):
    project, _ = kiln.seeded(concurrency=1)
    own, gate = label(), Gate(kiln)
    with kiln.system.executor(slots=4, labels=[own]):
        running = holds(kiln, project, gate, labels=[own])
        tasks = [kiln.run(project, "true", labels=[own]) for _ in range(2)]
        for task in tasks:
            kiln.tap.wait_type(task, "build.pending")
        answers = [blocked(kiln, task, "project_full") for task in tasks]
        assert [(answer["queue"]["position"], answer["queue"]["line"]) for answer in answers] == [(1, "project"), (2, "project")]
        # On a busy machine its heartbeat may be late, which is told too.
        wait_for(lambda: [worker["standing"] for worker in explain(kiln, tasks[0])["workers"]] == ["free"], "the worker to be free")
        (line,) = wait_for(lambda: [one for one in lines(kiln, kiln.api, project) if one["parked"] == 2], "both to be parked")
        assert (line["agent"], line["labels"], line["waiting"], line["concurrency"], line["concurrency_used"]) == ("command", [own], 2, 1, 1)
        assert line["oldest"]["task_id"] == tasks[0]
        gate.open()
        for task in [running, *tasks]:
            assert kiln.wait_end(task)["status"] == "completed"
    assert lines(kiln, kiln.api, project) == []


def test_a_build_that_is_tried_again_later_says_when(kiln):
    task = waits(kiln, kiln.project(), labels=[label()])
    # As after a failure that may pass; its backoff is a second or two, so that a slow test would come too late.
    kiln.system.sql("update build_queue set not_before = now() + interval '1 hour' where build_id = %s", task)
    answer = blocked(kiln, task, "not_before", "no_worker")
    assert answer["queue"]["not_before"] > answer["as_of"]
    kiln.cancel(task)


def test_the_queue_is_told_by_project_and_class_and_only_of_ones_own_projects(kiln):
    mine, other = kiln.project(), kiln.project()
    one, two = label(), label()
    tasks = [waits(kiln, mine, labels=[one]), waits(kiln, mine, labels=[one]), waits(kiln, mine, labels=[two]), waits(kiln, other, labels=[one])]
    client = kiln.token(["builds:read"], projects=[mine["name"]])
    found = client.pages("/queue", limit=1)
    assert sorted((tuple(line["labels"]), line["waiting"], line["parked"], line["delayed"]) for line in found) == sorted(
        [((one,), 2, 0, 0), ((two,), 1, 0, 0)]
    )
    assert {line["project"]["name"] for line in found} == {mine["name"]}
    assert {line["oldest"]["task_id"] for line in found} == {tasks[0], tasks[2]}
    assert [line["waiting"] for line in lines(kiln, kiln.api, other)] == [1]
    client.get(f"/builds/{tasks[3]}/explain", expect=404)
    client.get(f"/builds/{tasks[0]}/explain", expect=200)
    kiln.api.get(f"/builds/{uuid.uuid4()}/explain", expect=404)
    kiln.token(["workers:read"]).get("/queue", expect=403)
    kiln.api.get("/queue", params={"cursor": "cTEsMg"}, expect=400)
    for task in tasks:
        kiln.cancel(task)
