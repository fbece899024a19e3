"""Which build runs where and when; and what a killed executor means."""

import datetime
import itertools
import pathlib
import signal
import statistics
import subprocess
import uuid

from kiln_testing.agents import Gate, spec, waiting_spec
from kiln_testing.waiting import stays


def label():
    return f"l{uuid.uuid4().hex[:10]}"


def test_a_build_waits_for_a_worker_with_all_its_labels(kiln):
    project, _ = kiln.seeded()
    one, two = label(), label()
    task = kiln.run(project, "true", labels=[one, two])
    with kiln.system.executor(labels=[one]):
        stays(lambda: kiln.build(task)["phase"] == "queued", "waiting", 0.5)
        with kiln.system.executor(labels=[one, two, "more"]) as right:
            build = kiln.wait_end(task)
            started = [e for e in kiln.trail(task) if e["type"] == "build.started"]
            assert build["status"] == "completed" and started[0]["data"]["worker_id"] == right.worker_id


TIMER_S = 1  # KILN_DISPATCH_TIMER_MS: it starts a build whose wake-up was lost
PARTS = 8


def gaps(kiln, project, own):
    """Of builds one after the other, the seconds from an end to the next start. Their lengths are spread over the timer's: if it was the timer that
    gave the slot on, the gaps are too, however fast the machine is."""
    tasks = [kiln.run(project, f"sleep {part * TIMER_S / PARTS}", labels=[own]) for part in range(PARTS + 1)]
    builds = [kiln.wait_end(task) for task in tasks]
    assert {build["status"] for build in builds} == {"completed"}
    runs = sorted([datetime.datetime.fromisoformat(build[end]) for end in ("started_at", "finished_at")] for build in builds)
    found = [(later[0] - earlier[1]).total_seconds() for earlier, later in itertools.pairwise(runs)]
    assert min(found) >= 0, "more at once than there are slots"
    return found


def test_builds_that_wait_start_as_soon_as_a_slot_is_free(kiln):
    """By the median of a few tries at most: a wake-up that is lost is lost each time, and what a busy machine takes is not that long each time."""
    project, _ = kiln.seeded()
    own, found = label(), []
    with kiln.system.executor(slots=1, labels=[own]):
        while not found or (statistics.median(found[-1]) > TIMER_S / 4 and len(found) < 4):
            found.append(gaps(kiln, project, own))
    assert statistics.median(found[-1]) <= TIMER_S / 4, found


def test_higher_priority_goes_first(kiln):
    project, _ = kiln.seeded()
    own = label()
    gate = Gate(kiln)
    with kiln.system.executor(slots=1, labels=[own]):
        first = kiln.run(project, gate.script, labels=[own])
        kiln.wait_phase(first, "agent")
        command = kiln.agents.write("true")
        tasks = {priority: kiln.post(project, spec(command, labels=[own], priority=priority)) for priority in (3, 9, 0, 6)}
        for task in tasks.values():
            kiln.tap.wait_type(task, "build.pending")
        gate.open()
        started = {priority: kiln.wait_end(task)["started_at"] for priority, task in tasks.items()}
    assert sorted(started, key=started.get) == [9, 6, 3, 0]


def runs(kiln, task):
    return any(record.type == "build.started" for record in kiln.tap.by_build.get(task, []))


def test_a_projects_concurrency_is_never_exceeded(kiln):
    project, _ = kiln.seeded(concurrency=2)
    own, gate = label(), Gate(kiln)
    with kiln.system.executor(slots=4, labels=[own]):  # others' builds take no slot of it
        command = kiln.agents.write(f"{gate.script}; sleep 0.05")
        tasks = [kiln.post(project, spec(command, labels=[own])) for _ in range(10)]
        kiln.tap.wait(lambda: len({task for task in tasks if runs(kiln, task)}) >= 2, "two of them to run")
        gate.open()
        builds = [kiln.wait_end(task) for task in tasks]
    spans = [span for build in builds for span in ((build["started_at"], 1), (build["finished_at"], -1))]
    running = peak = 0
    for _, change in sorted(spans):
        running += change
        peak = max(peak, running)
    assert peak == 2


def test_a_build_that_waits_too_long_fails_with_queue_timeout(kiln):
    task = kiln.post(kiln.project(), waiting_spec(queue_timeout_s=1))
    build = kiln.wait_end(task)
    assert build["status"] == "failed" and build["result"]["error"]["class"] == "queue_timeout"


def test_an_executor_that_is_killed_and_started_again_gives_its_builds_back(kiln):
    project, repository = kiln.seeded()
    own, marker = label(), uuid.uuid4().hex
    gate = Gate(kiln)
    with kiln.system.executor(slots=2, labels=[own]) as executor:
        task = kiln.run(project, f"export marker={marker}; echo x > x.txt; {gate.script}", labels=[own], auto_commit=True, auto_push=True)
        kiln.wait_phase(task, "agent")
        executor.kill(signal.SIGKILL)
        executor.start()
        lost = kiln.tap.wait_type(task, "build.attempt_lost")[0]
        assert lost.data["reason"] == "worker_restarted" and lost.data["attempt"] == 1
        kiln.tap.wait_type(task, "build.started", count=2)
        gate.open()
        build = kiln.wait_end(task)
        assert build["status"] == "completed" and build["attempt"] > 1
        assert kiln.leftovers(marker) == []
    with repository.clone() as clone:
        assert clone.commits_of(task) == [build["result"]["commit_sha"]]


def test_an_executor_that_is_told_to_end_hands_over_and_says_goodbye(kiln):
    project, _ = kiln.seeded()
    own = label()
    with kiln.system.executor(slots=1, labels=[own]) as executor:
        assert kiln.wait_end(kiln.run(project, "true", labels=[own]))["status"] == "completed"
        executor.kill(signal.SIGTERM)
        assert executor.process.returncode == 0
        worker = executor.worker_id
        kiln.tap.wait(lambda: [r for r in kiln.tap.records if r.type == "worker.bye" and r.key == worker], "the good-bye")
        waiting = kiln.run(project, "true", labels=[own])
        stays(lambda: kiln.build(waiting)["phase"] == "queued", "waiting", 0.5)
        kiln.cancel(waiting)


def test_a_second_daemon_on_the_same_state_is_refused(kiln):
    with kiln.system.executor(labels=[label()]) as executor:
        program = pathlib.Path(kiln.system.env["KILN_BIN"]) / "kiln-executor"
        second = subprocess.run(
            [program], env=executor.env, cwd=executor.state, capture_output=True, text=True, timeout=60, check=False, **kiln.system.as_run_user()
        )
        assert second.returncode == 1 and "another executor" in second.stdout + second.stderr
        assert executor.process.poll() is None


def test_assignments_and_results_carry_one_token_per_attempt(kiln):
    project, _ = kiln.seeded()
    task = kiln.run(project, "true")
    kiln.wait_end(task)
    kiln.tap.wait_type(task, "attempt.released")
    records = kiln.tap.of(task, "kiln.build.assignments") + kiln.tap.of(task, "kiln.build.results") + kiln.tap.of(task, "kiln.build.logs")
    tokens = {(r.data["attempt"], r.data["lease_id"]) for r in records}
    assert len(tokens) == 1 and next(iter(tokens))[0] == 1
