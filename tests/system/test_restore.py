"""Postgres comes back from a backup that is older than what was published since, by the way of docs/restore.md: no build is lost, none is done twice, and
what workers still hold from the time that is gone counts no more."""

import json
import os
import pathlib
import signal
import subprocess

from kiln_testing.agents import Gate, spec, waiting_spec
from kiln_testing.fixtures import SHORT_LEASES
from kiln_testing.services import is_gone, migrate
from kiln_testing.trail import verify
from kiln_testing.waiting import wait_for

SERVICES = ("GATEWAY", "BUILD_SERVICE", "NOTIFIER")
OWN_SETTINGS = SHORT_LEASES


def postgres(system, program, *arguments):
    """One of Postgres' own programs, on the system's database."""
    found = sorted(pathlib.Path("/usr/lib/postgresql").glob(f"*/bin/{program}"))
    done = subprocess.run(
        [str(found[-1]), "--dbname", system.env["KILN_DATABASE_URL"], *map(str, arguments)], stdin=subprocess.DEVNULL, capture_output=True, text=True,
        timeout=120, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr


class Operator:
    """Who does what docs/restore.md says."""

    def __init__(self, system, folder):
        self.system, self.backup = system, folder / "backup"

    def back_up(self):
        postgres(self.system, "pg_dump", "--format=custom", "--file", self.backup)

    def end_services(self):
        pids = [pid for name in SERVICES for pid in self.system.pids(name)]
        for pid in pids:
            os.kill(pid, signal.SIGTERM)
        wait_for(lambda: all(map(is_gone, pids)), "the services to end", 60)

    def restore(self):
        postgres(self.system, "pg_restore", "--clean", "--if-exists", "--single-transaction", self.backup)


def gated(kiln, project):
    """A running build that pushes a commit once its gate is open."""
    gate = Gate(kiln)
    command = kiln.agents.write(f"{gate.script}\nprintf '%s\\n' \"$KILN_BUILD_ID\" > \"$KILN_BUILD_ID.txt\"")
    task = kiln.post(project, spec(command, auto_commit=True, auto_push=True))
    kiln.wait_phase(task, "agent")
    return task, gate


def pushed(kiln, project, **fields):
    return kiln.run(project, "printf '%s\\n' \"$KILN_BUILD_ID\" > \"$KILN_BUILD_ID.txt\"", auto_commit=True, auto_push=True, **fields)


def published(kiln, task):
    """The hashes of the build's events on Kafka, by their numbers; of each number there is one."""
    hashes = {}
    for record in kiln.tap.of(task, "kiln.build.events"):
        assert hashes.setdefault(record.data["sequence"], record.headers["ce_hash"]) == record.headers["ce_hash"], record.data
    return [hashes[number] for number in sorted(hashes)]


def test_a_restore_loses_no_build_and_doubles_none(own_kiln, tmp_path):
    kiln, operator = own_kiln, Operator(own_kiln.system, tmp_path)
    project, repository = kiln.seeded()
    inbox = kiln.receiver.inbox()
    # Before the backup: one that has ended, two that wait, one that runs.
    ended = pushed(kiln, project)
    kiln.wait_end(ended)
    waiting, unwanted = (kiln.post(project, waiting_spec()) for _ in range(2))
    for task in (waiting, unwanted):
        kiln.tap.wait_type(task, "build.pending")
    through, gate = gated(kiln, project)
    operator.back_up()

    # What the backup does not know: ends, a cancel, new builds that ended, run, wait.
    gate.open()
    kiln.wait_end(through)
    kiln.cancel(unwanted)
    new = pushed(kiln, project, callback_url=inbox.url)
    for task in (unwanted, new):
        kiln.wait_end(task)
    new_waiting, new_unwanted = (kiln.post(project, waiting_spec()) for _ in range(2))
    kiln.cancel(new_unwanted)
    kiln.wait_end(new_unwanted)
    finishing, finishes = gated(kiln, project)
    running, runs = gated(kiln, project)
    gone = {task: kiln.tap.wait_type(task, "attempt.assign")[0].data["lease_id"] for task in (finishing, running)}
    over = [ended, through, unwanted, new, new_unwanted]
    before = {task: kiln.trail(task) for task in over}
    kiln.tap.wait_type(new_waiting, "build.pending")

    assert "end all services" in migrate(kiln.system, "restore", expect=1)[1]
    operator.end_services()
    finishes.open()  # its worker tells, by a token that the restored database does not know
    kiln.tap.wait_type(finishing, "attempt.finished")
    operator.restore()
    said = json.loads(migrate(kiln.system, "restore")[0])
    assert said["epoch"] == 1 and said["broken"] == 0 and said["rolled"] == 2 and said["waiting"] == 5, said
    kiln.system.up()
    # What runs there is abandoned; the gate keeps it from ending by itself.
    kiln.tap.wait_type(running, "attempt.abandon")
    kiln.tap.wait_type(running, "build.attempt_lost")
    runs.open()

    for task in (finishing, running):
        build = kiln.wait_end(task)
        assert build["status"] == "completed" and build["attempt"] > 1000
        assert gone[task] not in [record.data["lease_id"] for record in kiln.tap.of(task, "kiln.build.assignments", "attempt.assign")[1:]]
    assert {task: kiln.trail(task) for task in over} == before
    for task in (waiting, new_waiting):
        assert kiln.build(task)["phase"] == "queued"
        kiln.cancel(task)
        assert kiln.wait_end(task)["status"] == "cancelled"
    wait_for(kiln.tap.is_at_end, "all records to be seen")
    for task in [*over, finishing, running, waiting, new_waiting]:
        trail = kiln.trail(task)
        verify(trail)
        assert published(kiln, task) == [item["hash"] for item in trail]
    with repository.clone() as clone:
        for task in (ended, through, new, finishing, running):
            assert clone.commits_of(task) == [kiln.build(task)["result"]["commit_sha"]]
    inbox.wait(1)
    assert json.loads(migrate(kiln.system, "verify-audit")[0])["ok"]


def test_builds_of_a_project_that_is_newer_than_the_backup_come_back_and_what_has_not_ended_waits(own_kiln, tmp_path):
    kiln, operator = own_kiln, Operator(own_kiln.system, tmp_path)
    operator.back_up()
    project, _ = kiln.seeded()
    ended = pushed(kiln, project)
    kiln.wait_end(ended)
    waiting = kiln.post(project, waiting_spec())
    kiln.tap.wait_type(waiting, "build.pending")
    running, gate = gated(kiln, project)
    before = kiln.trail(ended)

    operator.end_services()
    operator.restore()
    assert json.loads(migrate(kiln.system, "restore")[0])["broken"] == 0
    kiln.system.up()
    kiln.tap.wait_type(running, "build.attempt_lost")
    gate.open()

    assert kiln.build(ended)["status"] == "completed" and kiln.trail(ended) == before
    for task in (waiting, running):
        assert kiln.build(task)["phase"] == "queued"
        assert "project_gone" in [blocker["code"] for blocker in kiln.api.get(f"/builds/{task}/explain", expect=200).json()["blockers"]]
        kiln.cancel(task)
        assert kiln.wait_end(task)["status"] == "cancelled"
    wait_for(kiln.tap.is_at_end, "all records to be seen")
    for task in (ended, waiting, running):
        trail = kiln.trail(task)
        verify(trail)
        assert published(kiln, task) == [item["hash"] for item in trail]
    assert json.loads(migrate(kiln.system, "verify-audit")[0])["ok"]
