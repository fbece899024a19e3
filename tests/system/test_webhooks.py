"""The call back: signed, constant, repeated until taken."""

import re
import socket
import subprocess
import sys

import pytest
import standardwebhooks
from kiln_testing import places
from kiln_testing.repositories import unused_port
from kiln_testing.waiting import stays, wait_for
from kiln_testing.webhooks import verified


def deliveries(kiln, task):
    return kiln.system.sql("select state, attempts, last_status, event_id from webhook_deliveries where build_id = %s", task)


def attempts(kiln, task):
    statement = """select a.attempt, a.status from webhook_attempts a join webhook_deliveries d on d.id = a.delivery_id
        where d.build_id = %s order by 1"""
    return kiln.system.sql(statement, task)


@pytest.mark.parametrize("script, type", [("true", "build.completed"), ("exit 1", "build.failed")])
def test_the_terminal_event_is_posted_with_a_signature_of_the_projects_secret(kiln, script, type):
    project, _ = kiln.seeded()
    inbox = kiln.receiver.inbox()
    task = kiln.run(project, script, callback_url=inbox.url + "?a=b", metadata={"k": "v"})
    end = kiln.tap.wait_end(task)
    (delivery,) = inbox.wait(1)
    payload = verified(delivery, project["webhook_secret"])
    assert set(payload) == {"type", "timestamp", "data"} and payload["type"] == type
    assert payload["data"] == end.data | {"task_id": task} and payload["data"]["build_id"] == task
    assert delivery.headers["webhook-id"] == end.headers["ce_id"]
    assert abs(int(delivery.headers["webhook-timestamp"]) - delivery.at) < 60
    wait_for(lambda: deliveries(kiln, task) == [("delivered", 1, 204, end.headers["ce_id"])], "the delivery's row")
    with pytest.raises(standardwebhooks.WebhookVerificationError):
        verified(delivery, kiln.project()["webhook_secret"])


def test_the_documented_receiver_prints_the_builds_that_have_ended(kiln, tmp_path):
    (code,) = re.findall(r"```python\n(.*?)```", (places.ROOT / "docs" / "webhooks.md").read_text(encoding="utf-8"), re.DOTALL)
    program = tmp_path / "receiver.py"
    program.write_text(code, encoding="utf-8")
    (project, _), (other, _) = kiln.seeded(), kiln.seeded()
    environment = {"PATH": "/usr/bin:/bin", "WEBHOOK_SECRET": project["webhook_secret"]}
    with subprocess.Popen([sys.executable, program], env=environment, stdout=subprocess.PIPE, text=True) as receiver:
        try:
            url = receiver.stdout.readline().strip()
            forged = kiln.run(other, "true", callback_url=url)  # signed by another project's secret
            wait_for(lambda: (401,) in [row[1:] for row in attempts(kiln, forged)], "the forged one to be refused")
            task = kiln.run(project, "echo x > x", auto_commit=True, auto_push=True, callback_url=url)
            sha = kiln.wait_end(task)["result"]["commit_sha"]
            assert receiver.stdout.readline().split() == ["build.completed", task, sha]
        finally:
            receiver.terminate()


def test_only_the_end_is_told(kiln):
    project, _ = kiln.seeded()
    inbox = kiln.receiver.inbox()
    task = kiln.run(project, "echo x > x", auto_commit=True, auto_push=True, callback_url=inbox.url)
    kiln.wait_end(task)
    inbox.wait(1)
    marker = kiln.receiver.inbox()
    kiln.wait_end(kiln.run(project, "true", callback_url=marker.url))
    marker.wait(1)
    assert len(inbox.deliveries) == 1


@pytest.mark.parametrize("status", [500, 404, 302])
def test_a_refused_webhook_is_repeated_with_the_same_id_and_body(kiln, status):
    project, _ = kiln.seeded()
    inbox = kiln.receiver.inbox(status)
    task = kiln.run(project, "true", callback_url=inbox.url)
    first, second = inbox.wait(2)
    assert first.headers["webhook-id"] == second.headers["webhook-id"] and first.body == second.body
    assert int(second.headers["webhook-timestamp"]) >= int(first.headers["webhook-timestamp"])
    assert second.at - first.at > 1
    verified(second, project["webhook_secret"])
    wait_for(lambda: attempts(kiln, task) == [(1, status), (2, 204)], "both attempts in the database")
    elsewhere = [delivery for delivery in kiln.receiver.deliveries if delivery.path == "/elsewhere"]
    assert elsewhere == []


def test_a_bot_that_is_away_is_tried_again_later(kiln):
    project, _ = kiln.seeded()
    task = kiln.run(project, "true", callback_url=f"http://127.0.0.1:{unused_port()}/x")
    kiln.wait_end(task)
    wait_for(lambda: attempts(kiln, task)[:1] == [(1, None)], "the first attempt to be recorded")
    assert deliveries(kiln, task)[0][0] == "pending"


def test_a_slow_bot_does_not_hold_up_the_others(kiln):
    project, _ = kiln.seeded()
    fast = kiln.receiver.inbox()
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}/"
        for _ in range(4):
            kiln.run(project, "true", callback_url=url)
        kiln.run(project, "true", callback_url=fast.url)
        fast.wait(1)


def test_nothing_is_posted_twice_while_the_first_is_answered(kiln):
    project, _ = kiln.seeded()
    inbox = kiln.receiver.inbox()
    task = kiln.run(project, "true", callback_url=inbox.url)
    inbox.wait(1)
    wait_for(lambda: deliveries(kiln, task)[0][0] == "delivered", "the delivery's row")
    stays(lambda: len(inbox.deliveries) == 1, "a single webhook", 1.5)
