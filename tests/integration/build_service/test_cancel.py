"""Cancel in every state (docs/protocol.md section 8)."""
import json

SETTINGS = {"KILN_LEASE_MS": "3000", "KILN_WORKER_FRESH_MS": "2000"}


def test_a_queued_build_ends_at_once(gateway):
    build = gateway.post(gateway.project())
    gateway.wait(build, "pending")
    gateway.cancel(build)
    row = gateway.wait(build)
    assert row["status"] == "cancelled" and row["result"]["error"]["class"] == "cancelled"
    assert gateway.types(build) == ["build.pending", "build.cancelled"]


def test_an_assigned_build_ends_when_its_worker_says_so(gateway, worker):
    executor = worker()
    build = gateway.post(gateway.project())
    assign = executor.assigned(build)
    gateway.cancel(build)
    executor.wait_command("attempt.cancel", build)
    row = gateway.row(build)
    assert row["status"] == "pending" and row["cancel_requested"]
    executor.finish(assign, "cancelled")
    assert gateway.wait(build)["status"] == "cancelled"
    assert [event["data"].get("cancel_requested") for event in gateway.trail(build)].count(True) == 1


def test_a_running_build_ends_when_its_worker_says_so(gateway, worker):
    executor = worker()
    build = gateway.post(gateway.project())
    assign = executor.assigned(build)
    executor.accept(assign)
    gateway.wait(build, "running")
    gateway.cancel(build)
    gateway.cancel(build)
    executor.wait_command("attempt.cancel", build)
    executor.finish(assign, "cancelled")
    assert gateway.wait(build)["status"] == "cancelled"
    assert executor.wait_command("attempt.released", build)["last"] is True


def test_a_lost_cancel_command_is_repeated_by_heartbeats(gateway, worker):
    executor = worker(drop=["attempt.cancel"])
    build = gateway.post(gateway.project())
    executor.accept(executor.assigned(build))
    gateway.wait(build, "running")
    gateway.cancel(build)
    executor.wait_command("attempt.assign", build)
    gateway.wait(build, "running")
    executor.drop.clear()
    executor.wait_command("attempt.cancel", build)


def test_a_push_that_came_first_wins(gateway, worker):
    executor = worker()
    build = gateway.post(gateway.project())
    assign = executor.assigned(build)
    executor.accept(assign)
    executor.phase(assign, "pushing", commit_sha="c" * 40)
    gateway.wait_phase(build, "pushing")
    gateway.cancel(build)
    executor.wait_command("attempt.cancel", build)
    executor.finish(assign, published=True, commit_sha="c" * 40)
    assert gateway.wait(build)["status"] == "completed"


def test_a_cancelled_build_whose_worker_dies_is_cancelled(gateway, worker, shared_database):
    executor = worker()
    build = gateway.post(gateway.project())
    executor.accept(executor.assigned(build))
    gateway.wait(build, "running")
    gateway.cancel(build)
    executor.wait_command("attempt.cancel", build)
    executor.freeze()
    assert gateway.wait(build)["status"] == "cancelled"
    *_, lost, end = gateway.trail(build)
    assert [(event["type"], event["data"]["status"]) for event in (lost, end)] == [("build.attempt_lost", "cancelled"), ("build.cancelled", "cancelled")]
    done = shared_database.run("verify-audit")
    assert done.returncode == 0 and json.loads(done.stdout)["ok"], done
