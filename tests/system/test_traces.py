"""What a bot's request was called by goes with its build: the trace and the id of the POST, through Kafka, to the webhook."""

import secrets
import uuid

import pytest
from kiln_testing.agents import Gate, spec
from kiln_testing.client import key

NEEDED = {"build.requested", "attempt.assign", "attempt.accepted", "attempt.phase", "attempt.finished", "build.pending", "build.started", "build.phase", "build.completed"}


def own():
    """Headers of a request that is part of a bot's own trace, with an id of its own."""
    return {"traceparent": f"00-{secrets.token_hex(16)}-{secrets.token_hex(8)}-01", "X-Request-Id": f"bot:{uuid.uuid4()}"}


def trace_of(headers):
    """The trace id; "" without one."""
    return headers.get("traceparent", "--").split("-")[1]


def webhook_of(inbox, task, count=1):
    """The headers of the webhook of this build, when `count` webhooks have come."""
    deliveries = [{name.lower(): value for name, value in delivery.headers.items()} for delivery in inbox.wait(count)]
    (found,) = [headers for headers in deliveries if task in headers["webhook-id"]]
    return found


def assert_carried(kiln, task, webhook, request):
    """The request's trace is that of all that was said of the build, and its id is in the webhook and in the audit."""
    for kind in NEEDED:
        kiln.tap.wait_type(task, kind)
    said = [(record.type, trace_of(record.headers)) for record in kiln.tap.of(task) if record.type in NEEDED or record.topic in ("kiln.build.events", "kiln.build.logs")]
    assert {type for type, _ in said} >= NEEDED
    assert {trace for _, trace in said} == {trace_of(request)}, said
    assert trace_of(webhook) == trace_of(request)
    assert webhook["x-request-id"] == request["X-Request-Id"]
    (entry,) = kiln.api.pages("/audit", resource=task)
    assert entry["request_id"] == request["X-Request-Id"]


def by_id(kiln, project, body, headers):
    return kiln.api.post(f"/projects/{project['id']}/builds", body, headers=headers, expect=202)


def by_name(kiln, project, body, headers):
    return kiln.api.post(f"/project/{project['name']}/build", body, headers=headers, expect=202)


def with_a_key(kiln, project, body, headers):
    return by_id(kiln, project, body, headers | key())


def create_and_build(kiln, project, body, headers):
    return kiln.api.post("/project/create-and-build", {"project": {"name": project["name"]}, "build": body}, headers=headers, expect=202)


@pytest.mark.parametrize("post", [by_id, by_name, with_a_key, create_and_build])
def test_the_trace_and_the_id_of_the_post_go_to_the_webhook(kiln, post):
    project, _ = kiln.seeded()
    inbox, request = kiln.receiver.inbox(), own()
    task = post(kiln, project, spec(kiln.agents.write("echo something for the log"), callback_url=inbox.url), request).json()["task_id"]
    kiln.tap.wait_type(task, "build.log")
    assert_carried(kiln, task, webhook_of(inbox, task), request)


def test_a_build_that_waited_for_its_worker_is_still_of_its_own_trace(kiln):
    project, _ = kiln.seeded(concurrency=1)
    gate = Gate(kiln)
    command = kiln.agents.write(gate.script)
    inboxes, requests = [kiln.receiver.inbox() for _ in range(2)], [own() for _ in range(2)]
    first = kiln.post(project, spec(command, callback_url=inboxes[0].url), headers=requests[0])
    kiln.wait_phase(first, "agent")
    second = kiln.post(project, spec(command, callback_url=inboxes[1].url), headers=requests[1])
    kiln.wait_phase(second, "queued")
    gate.open()
    for task, inbox, request in zip((first, second), inboxes, requests, strict=True):
        assert_carried(kiln, task, webhook_of(inbox, task), request)


def test_a_retry_is_of_the_trace_of_its_own_post(kiln):
    project, _ = kiln.seeded()
    inbox, request = kiln.receiver.inbox(), own()
    first = kiln.post(project, spec(kiln.agents.write("true"), callback_url=inbox.url), headers=own())
    kiln.wait_end(first)
    second = kiln.api.post(f"/builds/{first}/retry", headers=request, expect=202).json()["task_id"]
    assert_carried(kiln, second, webhook_of(inbox, second, 2), request)


@pytest.mark.parametrize("given", [{}, {"X-Request-Id": "a b"}, {"X-Request-Id": "x" * 65}], ids=["none", "not one", "too long"])
def test_the_webhook_of_a_post_without_a_good_id_has_the_one_of_its_answer(kiln, given):
    project, _ = kiln.seeded()
    inbox = kiln.receiver.inbox()
    answer = by_id(kiln, project, spec(kiln.agents.write("true"), callback_url=inbox.url), given)
    task, made = answer.json()["task_id"], answer.headers["x-request-id"]
    webhook = webhook_of(inbox, task)
    assert webhook["x-request-id"] == made != given.get("X-Request-Id")
    assert trace_of(webhook) == made  # a trace that begins with the gateway is called as the request
