"""GET /workers, GET /workers/{id} and POST /workers/{id}/drain."""

import signal
import uuid

from kiln_testing.agents import Gate
from kiln_testing.client import Client, key, pointers, slug
from kiln_testing.services import ready_gateway
from kiln_testing.waiting import stays, wait_for


def label():
    return f"l{uuid.uuid4().hex[:10]}"


def worker(kiln, executor):
    return kiln.api.get(f"/workers/{executor.worker_id}", expect=200).json()


def drain(kiln, executor, expect=202, **kwargs):
    return kiln.api.post(f"/workers/{executor.worker_id}/drain", expect=expect, **kwargs)


def in_state(kiln, executor, state):
    return wait_for(lambda: (one := worker(kiln, executor))["state"] == state and one, f"the worker to be {state}")


def test_a_worker_is_shown_with_what_it_can_and_what_it_holds(kiln):
    project, _ = kiln.seeded()
    own, gate = label(), Gate(kiln)
    with kiln.system.executor(slots=2, labels=[own, "more"], KILN_HEARTBEAT_MS="500") as executor:
        task = kiln.run(project, gate.script, labels=[own])
        kiln.wait_phase(task, "agent")
        shown = worker(kiln, executor)
        assert (shown["state"], shown["drain_requested"], shown["slots"], shown["slots_used"]) == ("active", False, 2, 1)
        assert {own, "more"} <= set(shown["labels"]) and "command" in shown["agents"] and shown["incarnation"] == 1
        (attempt,) = shown["attempts"]
        assert attempt["task_id"] == task == kiln.build(task)["task_id"] and attempt["project"]["name"] == project["name"]
        assert (attempt["attempt"], attempt["mode"], attempt["accepted"], attempt["phase"]) == (1, "run", True, "agent")
        wait_for(lambda: worker(kiln, executor)["heartbeat_at"] > shown["heartbeat_at"], "the next heartbeat")
        gate.open()
        kiln.wait_end(task)
        wait_for(lambda: worker(kiln, executor)["slots_used"] == 0, "the slot to be free")


def test_the_list_has_every_worker_once_page_by_page(kiln):
    ids = [one["worker_id"] for one in kiln.api.pages("/workers", limit=1)]
    known = {str(worker_id) for (worker_id,) in kiln.system.sql("select id from workers where state = 'active'")}
    assert ids == sorted(set(ids)) and len(ids) >= 2 and known <= {one["worker_id"] for one in kiln.api.pages("/workers", limit=500)}
    kiln.api.get("/workers", params={"cursor": "d25vLXV1aWQ"}, expect=400)


def test_a_token_of_other_projects_sees_the_slot_taken_but_not_by_whom(kiln):
    project, _ = kiln.seeded()
    gate = Gate(kiln)
    task = kiln.run(project, gate.script)
    kiln.wait_phase(task, "agent")
    for name, seen in ((project["name"], [task]), (kiln.project()["name"], [])):
        client = kiln.token(["workers:read"], projects=[name])
        one = client.get(f"/workers/{kiln.build(task)['worker_id']}", expect=200).json()
        assert one["slots_used"] >= 1 and [attempt["task_id"] for attempt in one["attempts"]] == seen
    gate.open()
    kiln.wait_end(task)


def test_a_drained_worker_finishes_what_it_has_takes_nothing_more_and_ends(kiln):
    project, _ = kiln.seeded()
    own, gate = label(), Gate(kiln)
    with kiln.system.executor(slots=2, labels=[own], KILN_DRAIN_TIMEOUT_MS="0") as executor:
        running = kiln.run(project, gate.script, labels=[own])
        kiln.wait_phase(running, "agent")
        assert drain(kiln, executor).json()["drain_requested"]
        in_state(kiln, executor, "draining")
        waiting = kiln.run(project, "true", labels=[own])
        kiln.tap.wait_type(waiting, "build.pending")
        assert drain(kiln, executor).json()["state"] == "draining"
        why = kiln.api.get(f"/builds/{waiting}/explain", expect=200).json()
        assert [blocker["code"] for blocker in why["blockers"]] == ["workers_unavailable"] and why["estimate"] is None
        assert [(one["worker_id"], one["standing"]) for one in why["workers"]] == [(executor.worker_id, "draining")]
        stays(lambda: kiln.build(waiting)["phase"] == "queued" and kiln.build(running)["status"] == "running", "waiting", 1)
        gate.open()
        assert kiln.wait_end(running)["status"] == "completed"
        gone = in_state(kiln, executor, "gone")
        assert gone["slots_used"] == 0 and executor.process.wait(60) == 0
        assert slug(drain(kiln, executor, expect=409)) == "worker-gone"
        (entry,) = kiln.api.pages("/audit", resource=executor.worker_id)
        assert (entry["route"], entry["outcome"], entry["resource"]["type"]) == ("/workers/{id}/drain", "accepted", "worker")
        # The wish was for that start of it.
        executor.start()
        assert kiln.wait_end(waiting)["status"] == "completed"
        again = worker(kiln, executor)
        assert (again["state"], again["drain_requested"], again["incarnation"]) == ("active", False, 2)


def test_a_build_that_its_worker_hands_back_when_it_is_stopped_costs_no_try(kiln):
    project, _ = kiln.seeded()
    own, gate = label(), Gate(kiln)
    with kiln.system.executor(labels=[own], KILN_DRAIN_TIMEOUT_MS="500") as executor:
        task = kiln.run(project, gate.script, labels=[own], max_attempts=1)
        kiln.wait_phase(task, "agent")
        executor.kill(signal.SIGTERM)
        gate.open()
        executor.start()
        ended = kiln.wait_end(task)
        assert (ended["status"], ended["attempts_used"]) == ("completed", 1)
        assert [event["data"]["attempt"] for event in kiln.trail(task) if event["type"] == "build.attempt_lost"] == [1]


def test_a_gateway_that_says_it_is_ready_takes_a_wish_to_any_topic_at_once(kiln):
    with kiln.system.executor(labels=[label()]) as executor, ready_gateway(kiln.system) as gateway:
        client = Client(gateway.url, kiln.system.env["KILN_TOKEN"])

        def decided():
            """Whatever Postgres takes; Kafka must not make it wait."""
            answer = client.post(f"/workers/{executor.worker_id}/drain")
            return answer if answer.status_code != 503 or slug(answer) != "database-unavailable" else None

        answer = wait_for(decided, "a decision")
        assert answer.status_code == 202, answer.text


def test_a_drain_with_a_key_is_answered_as_the_first_time(kiln):
    headers = key()
    with kiln.system.executor(labels=[label()]) as executor:
        in_state(kiln, executor, "active")
        first = drain(kiln, executor, headers=headers).json()
        in_state(kiln, executor, "gone")
        assert drain(kiln, executor, headers=headers).json() == first


def test_a_drain_whose_key_cannot_be_kept_is_told_as_unknown_and_takes_effect(kiln):
    headers = key()
    with kiln.system.executor(labels=[label()]) as executor:
        in_state(kiln, executor, "active")

        def unknown():
            """None: Kafka or Postgres was too slow for the wish itself."""
            answer = drain(kiln, executor, headers=headers, expect=503)
            return answer.json() if slug(answer) == "outcome-unknown" else None

        with kiln.system.locked("idempotency_keys", "share"):
            assert "task_id" not in wait_for(unknown, "the wish to be sent")
        in_state(kiln, executor, "gone")


def test_workers_are_for_those_who_may_see_and_steer_them(kiln):
    nobody = uuid.uuid4()
    kiln.api.get(f"/workers/{nobody}", expect=404)
    kiln.api.get("/workers/no-uuid", expect=404)
    kiln.api.post(f"/workers/{nobody}/drain", expect=404)
    assert list(pointers(kiln.api.post(f"/workers/{nobody}/drain", {"now": True}, expect=422))) == ["/now"]
    reader = kiln.token(["workers:read"])
    reader.get("/workers", expect=200)
    reader.post(f"/workers/{nobody}/drain", expect=403)
    kiln.token(["builds:read", "workers:write"]).get("/workers", expect=403)
