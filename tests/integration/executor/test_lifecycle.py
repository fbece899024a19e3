"""Workers that come, go, are killed, fenced and cut off (docs/protocol.md sections 4 and 5)."""
import contextlib
import datetime
import os
import signal
import socket
import subprocess
import time

import pytest

from databases import BIN
from executing import waiting
from kiln_testing.relay import KafkaRelay
from kiln_testing.services import cpu_seconds
from kiln_testing.waiting import stays, wait_for

SLEEP = "cat >/dev/null; echo up; setsid sleep 1000 & sleep 1000"
HANGING_DISK = BIN / "kiln-test-hanging-disk.so"
MAKE = "cat >/dev/null; echo made >made.txt"


def running(executor, agents, site, script=SLEEP):
    attempt = executor.attempt(site.repository(), agents.write(script)).assign()
    wait_for(lambda: attempt.lines("stdout"), "the agent to run")
    return attempt


def works_again(executor, agents, site):
    """Where heartbeats must come so soon, one that is late may end a build."""
    wait_for(lambda: executor.run(site.repository(), agents.write(MAKE))[0]["published"], "a build to be published")


def test_hello_and_heartbeats_say_who_and_what(own_executor, agents, site):
    executor = own_executor(KILN_LABELS="gpu, linux")
    assert executor.hello["slots"] == 2 and executor.hello["labels"] == ["gpu", "linux"] and executor.hello["agents"] == ["command"]
    assert executor.hello["held"] == [] and executor.hello["sandbox"] == "none" and not executor.hello["draining"]
    attempt = running(executor, agents, site)
    beat = wait_for(lambda: (beat := executor.next_heartbeat())["held"] and beat, "a heartbeat that lists the attempt")
    assert beat["held"] == [attempt.token] and beat["reported"] == [] and beat["read_offset"] > executor.hello["read_offset"]


def test_an_executor_without_slots_rests(own_executor):
    """It has nothing to keep a child ready for, and does not look for one all the time."""
    executor = own_executor(KILN_SLOTS="0")
    begin = cpu_seconds(executor.process.pid)
    stays(lambda: executor.process.poll() is None, "the executor", 3, poll=0.1)
    assert cpu_seconds(executor.process.pid) - begin < 1, "it spins"


def test_an_assignment_that_comes_again_after_its_release_starts_nothing(own_executor, agents, site, place):
    executor = own_executor()
    repository = site.repository()
    _, attempt = executor.run(repository, agents.write(f"echo ran >> {place}/runs\n{MAKE}"))
    attempt.wait("attempt.finished")
    attempt.release()
    wait_for(lambda: executor.next_heartbeat()["reported"] == [], "the result to be released")
    attempt.assign()
    assert executor.next_heartbeat_behind(attempt.offset)["held"] == []
    assert (place / "runs").read_text(encoding="utf-8") == "ran\n"


def test_a_result_is_sent_again_until_it_is_released_also_by_the_next_incarnation(own_executor, agents, site):
    executor = own_executor()
    _, attempt = executor.run(site.repository(), agents.write(MAKE))
    first = attempt.wait("attempt.finished")
    second = executor.service.wait(type="attempt.finished", count=2, **attempt.token)
    assert second.headers["ce_id"] == first.headers["ce_id"] and second.value == first.value
    assert second.headers["traceparent"] == attempt.traceparent
    executor.kill()
    seen = len(executor.service.seen(type="attempt.finished", **attempt.token))
    executor.start()
    assert executor.hello["reported"] == [attempt.token | {"acknowledged": False}] and executor.hello["held"] == []
    third = executor.service.wait(type="attempt.finished", count=seen + 1, **attempt.token)
    assert third.headers["traceparent"] == attempt.traceparent
    attempt.data |= executor.addressee()
    attempt.release()
    wait_for(lambda: executor.next_heartbeat()["reported"] == [], "the result to be released")
    executor.next_heartbeat(2)  # what was sent before the release is here as well, also by another way
    count = len(executor.service.seen(type="attempt.finished", **attempt.token))
    stays(lambda: len(executor.service.seen(type="attempt.finished", **attempt.token)) == count, "silence", 1)


def test_repeated_assignments_are_accepted_again_but_run_once(own_executor, agents, site, place):
    executor = own_executor()
    attempt = running(executor, agents, site, f"echo x >>{place}/runs; {SLEEP}")
    attempt.assign()
    executor.service.wait(type="attempt.accepted", count=2, **attempt.token)
    attempt.cancel()
    attempt.finished()
    attempt.assign()
    executor.service.wait(type="attempt.finished", count=2, **attempt.token)
    assert (place / "runs").read_text() == "x\n"


def test_more_assignments_than_slots_are_not_accepted(own_executor, agents, site):
    executor = own_executor()
    attempts = [running(executor, agents, site) for _ in range(2)]
    third = executor.attempt(site.repository(), agents.write(MAKE)).assign()
    assert third.token not in executor.next_heartbeat_behind(third.offset)["held"]
    assert not executor.service.seen(type="attempt.accepted", **third.token)
    attempts[0].cancel()
    attempts[0].finished()
    third.assign()
    assert third.finished()["published"]


def test_commands_for_other_incarnations_are_ignored(own_executor, agents, site):
    executor = own_executor()
    attempt = running(executor, agents, site)
    other = {**executor.addressee(), "incarnation": {**executor.hello["incarnation"], "nonce": "00000000-0000-4000-8000-000000000000"}}
    for kind in ("attempt.cancel", "attempt.abandon", "worker.fenced"):
        last = executor.service.send(kind, {**attempt.token, **other, "reason": "test"})
    assert executor.next_heartbeat_behind(last)["held"] == [attempt.token]
    assert executor.process.poll() is None and attempt.processes()


def test_an_abandoned_attempt_ends_without_a_word(own_executor, agents, site):
    executor = own_executor()
    attempt = running(executor, agents, site)
    attempt.command("attempt.abandon")
    wait_for(lambda: not attempt.processes(), "the processes to be gone")
    wait_for(lambda: executor.next_heartbeat()["held"] == [], "the attempt to be forgotten")
    assert not executor.service.seen(type="attempt.finished", **attempt.token)


def test_a_newer_attempt_of_the_same_build_waits_for_the_end_of_the_older(own_executor, agents, site):
    executor = own_executor()
    old = running(executor, agents, site)
    new = executor.attempt(site.repository(), agents.write(MAKE), build_id=old.build_id, attempt=2).assign()
    assert new.finished()["published"] and not old.processes()
    assert not executor.service.seen(type="attempt.finished", **old.token)


def test_a_killed_child_is_internal_and_retryable_and_leaves_nothing(own_executor, agents, site):
    executor = own_executor()
    attempt = running(executor, agents, site)
    os.kill(executor.child_of(attempt), signal.SIGKILL)
    finished = attempt.finished()
    assert finished["outcome"] == "failed" and finished["retryable"] and finished["result"]["error"]["class"] == "internal"
    assert not attempt.processes()
    attempt.release()
    wait_for(lambda: executor.leftovers() == [], "an empty state directory")


def nursery_of(executor):
    """The pid of the process that children are forked from: those have another name."""
    return next(iter(executor.children_for("nursery")), None)


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGSTOP])
def test_a_nursery_that_has_no_more_children_is_replaced(own_executor, agents, site, how):
    executor = own_executor()
    old = wait_for(lambda: nursery_of(executor), "a nursery")
    os.kill(old, how)
    # Meanwhile there is the spare child, then one that is started the long way.
    wait_for(lambda: executor.run(site.repository(), agents.write(MAKE))[0]["published"] and nursery_of(executor) not in (None, old), "another nursery")
    assert executor.run(site.repository(), agents.write(MAKE))[0]["published"]


def test_after_a_crash_children_come_of_another_nursery(own_executor, agents, site):
    executor = own_executor()
    attempt = running(executor, agents, site)
    old = wait_for(lambda: nursery_of(executor), "a nursery")
    os.kill(executor.child_of(attempt), signal.SIGABRT)  # a sanitizer makes an ordinary end of SIGSEGV
    assert attempt.finished()["outcome"] == "failed"
    assert executor.run(site.repository(), agents.write(MAKE))[0]["published"]
    wait_for(lambda: nursery_of(executor) not in (None, old), "another nursery")


def test_kill_9_of_the_daemon_takes_the_agents_along_and_the_next_one_kills_what_escaped(own_executor, agents, site):
    executor = own_executor()
    escape = "setsid bash -c 'exec -a escaped sleep 1000' & disown; (setsid sleep 1000 &)"
    attempt = running(executor, agents, site, f"cat >/dev/null; {escape}; echo up; sleep 1000")
    executor.kill()
    before = len(attempt.processes())
    executor.start()
    assert executor.hello["held"] == [] and executor.hello["incarnation"]["counter"] == 2
    assert not attempt.processes(), f"{before} had outlived the daemon"
    wait_for(lambda: executor.leftovers() == [], "an empty state directory")


def test_two_daemons_cannot_share_a_state_directory(own_executor):
    executor = own_executor()
    first = executor.process
    executor.start(wait=False)
    assert executor.process.wait(60) == 1 and "another executor" in executor.log()
    executor.process = first


def test_a_fenced_daemon_kills_its_agents_and_exits(own_executor, agents, site):
    executor = own_executor()
    attempt = running(executor, agents, site)
    executor.service.send("worker.fenced", {**executor.addressee(), "reason": "test"})
    assert executor.process.wait(60) == 1
    assert not attempt.processes()


def test_sigterm_waits_for_running_builds_then_says_goodbye(own_executor, agents, site, place):
    executor = own_executor(KILN_DRAIN_TIMEOUT_MS="20000")
    attempt = executor.attempt(site.repository(), agents.write(waiting(place, "echo x >x"))).assign()
    attempt.phase("agent")
    executor.process.send_signal(signal.SIGTERM)
    executor.service.wait(type="worker.draining", **executor.addressee())
    late = executor.attempt(site.repository(), agents.write(MAKE)).assign()
    (place / "go").touch()
    assert attempt.finished()["published"]
    attempt.release()
    assert executor.process.wait(60) == 0
    executor.service.wait(type="worker.bye", **executor.addressee())
    assert not executor.service.seen(type="attempt.accepted", **late.token)


def test_a_worker_that_is_asked_to_drain_lets_builds_take_their_time(own_executor, agents, site, place):
    executor = own_executor(KILN_DRAIN_TIMEOUT_MS="0")
    attempt = executor.attempt(site.repository(), agents.write(waiting(place, "echo x >x"))).assign()
    attempt.phase("agent")
    for _ in range(2):
        executor.service.send("worker.drain", executor.addressee())
    executor.service.wait(type="worker.draining", **executor.addressee())
    late = executor.attempt(site.repository(), agents.write(MAKE)).assign()
    wait_for(lambda: len([beat for beat in executor.heartbeats() if beat["draining"]]) >= 3, "heartbeats that say so")
    assert executor.process.poll() is None and attempt.processes()
    (place / "go").touch()
    assert attempt.finished()["published"]
    attempt.release()
    assert executor.process.wait(60) == 0
    executor.service.wait(type="worker.bye", **executor.addressee())
    assert not executor.service.seen(type="attempt.accepted", **late.token)


def test_a_draining_worker_removes_the_fence_of_what_is_released_to_it(own_executor, agents, site, place):
    executor = own_executor()
    repository = site.repository()
    _, done = executor.run(repository, agents.write(MAKE))
    running_on = executor.attempt(repository, agents.write(waiting(place, "true"))).assign()
    running_on.phase("agent")
    executor.service.send("worker.drain", executor.addressee())
    executor.service.wait(type="worker.draining", **executor.addressee())
    done.release()
    wait_for(lambda: f"refs/kiln/builds/{done.build_id}" not in repository.refs(), "the fence to be deleted")
    (place / "go").touch()
    running_on.finished()
    running_on.release()
    assert executor.process.wait(60) == 0


def test_a_signal_limits_a_drain_that_was_asked_for(own_executor, agents, site):
    executor = own_executor(KILN_DRAIN_TIMEOUT_MS="300")
    attempt = running(executor, agents, site)
    executor.service.send("worker.drain", executor.addressee())
    executor.service.wait(type="worker.draining", **executor.addressee())
    executor.process.send_signal(signal.SIGTERM)
    assert attempt.finished()["result"]["error"]["message"] == "the worker is being stopped"
    assert executor.process.wait(60) == 0 and not attempt.processes()


def test_a_build_that_outlives_the_drain_is_handed_back(own_executor, agents, site):
    executor = own_executor(KILN_DRAIN_TIMEOUT_MS="500")
    attempt = running(executor, agents, site)
    executor.process.send_signal(signal.SIGTERM)
    finished = attempt.finished()
    assert finished["outcome"] == "cancelled" and finished["result"]["error"] == {"class": "cancelled", "message": "the worker is being stopped"}
    assert executor.process.wait(60) == 0 and not attempt.processes()
    executor.service.wait(type="worker.bye", **executor.addressee())


LEND = '''
import os, socket, sys
end = socket.socket(socket.AF_UNIX)
end.connect(sys.argv[1])
locks = [int(fd) for fd in os.listdir("/proc/self/fd") if "/locks/" in os.path.realpath(f"/proc/self/fd/{fd}")]
socket.send_fds(end, [b"x"], locks)
'''


def test_processes_that_cannot_be_ended_do_not_keep_a_worker_from_ending(own_executor, agents, site, place):
    """As if one of them was in the kernel for ever: the attempt's lock is taken, by a descriptor that is under way in a socket."""
    executor = own_executor(KILN_DRAIN_TIMEOUT_MS="300")
    (place / "lend.py").write_text(LEND, encoding="utf-8")
    with socket.socket(socket.AF_UNIX) as taking:
        taking.bind(str(place / "taking"))
        (place / "taking").chmod(0o777)
        taking.listen()
        attempt = running(executor, agents, site, f"python3 {place}/lend.py {place}/taking && {SLEEP}")
        executor.process.send_signal(signal.SIGTERM)
        assert executor.process.wait(60) == 0 and not attempt.processes()
        assert [line for line in executor.lines() if line["msg"] == "processes of attempts cannot be ended"]
    assert not executor.service.seen(type="worker.bye", **executor.addressee())


def test_a_daemon_that_was_stopped_past_its_lease_kills_its_agents_first(own_executor, agents, site):
    executor = own_executor(KILN_LEASE_DEAD_MAN_MS="4000")
    attempt = running(executor, agents, site)
    executor.process.send_signal(signal.SIGSTOP)
    time.sleep(4.5)  # longer than the dead-man time: this is what the test is about
    executor.process.send_signal(signal.SIGCONT)
    finished = attempt.finished()
    assert finished["result"]["error"]["class"] == "worker_lost" and finished["retryable"]
    assert not attempt.processes()
    works_again(executor, agents, site)


def test_agents_are_killed_when_kafka_is_away_for_too_long_and_all_is_told_when_it_is_back(own_executor, agents, site, infra):
    executor = own_executor(KILN_LEASE_DEAD_MAN_MS="3000")
    attempt = running(executor, agents, site)
    with infra.frozen("KAFKA"):
        wait_for(lambda: not attempt.processes(), "the agents to be killed")
        assert "heartbeat" in (executor.missing() or {})
    finished = attempt.finished()
    assert finished["result"]["error"]["class"] == "worker_lost" and finished["retryable"]
    wait_for(lambda: executor.missing() == {}, "it to be ready again")
    works_again(executor, agents, site)


@pytest.mark.skipif(not HANGING_DISK.exists(), reason="under a sanitizer nothing else is preloaded")
def test_a_disk_that_hangs_stops_neither_heartbeats_nor_the_dead_man_rule_nor_a_drain(own_executor, agents, site, place, infra):
    hangs = place / "hangs"
    executor = own_executor(LD_PRELOAD=str(HANGING_DISK), KILN_TEST_DISK_HANGS=str(hangs), KILN_LEASE_DEAD_MAN_MS="3000")
    ends = executor.attempt(site.repository(), agents.write(waiting(place, "echo x >x"))).assign()
    ends.phase("agent")
    runs_on = running(executor, agents, site)
    hangs.touch()
    (place / "go").touch()
    wait_for(lambda: executor.next_heartbeat()["reported"] == [ends.token | {"acknowledged": False}], "a result that waits for the disk")
    assert executor.next_heartbeat(3)["held"] == [runs_on.token]
    assert ends.finished()["published"]  # a disk that takes longer than that fails
    assert f"results/{ends.token['lease_id']}.json" not in executor.leftovers()
    with infra.frozen("KAFKA"):
        wait_for(lambda: not runs_on.processes(), "the agents to be killed")
    assert error_class(runs_on.finished()) == "worker_lost"
    for attempt in (ends, runs_on):
        attempt.release()
    executor.process.send_signal(signal.SIGTERM)
    assert executor.process.wait(60) == 0
    executor.service.wait(type="worker.bye", **executor.addressee())
    hangs.unlink()


def test_a_result_that_waits_for_kafka_is_queued_once(own_executor, agents, site, infra):
    executor = own_executor(KILN_RESEND_MS="100")
    attempt = running(executor, agents, site)
    child = executor.child_of(attempt)
    with infra.frozen("KAFKA"):
        os.kill(child, signal.SIGKILL)
        wait_for(lambda: f"results/{attempt.token['lease_id']}.json" in executor.leftovers(), "the result to be kept")
        stays(lambda: executor.process.poll() is None, "the executor, for as long as its result comes due five times", 3)
    attempt.finished()
    attempt.release()
    wait_for(lambda: executor.next_heartbeat()["reported"] == [], "the result to be released")
    executor.next_heartbeat(2)  # what was sent before the release is here as well
    assert len(executor.service.seen(type="attempt.finished", **attempt.token)) <= 2  # it may have come due after Kafka had the first


def made(beat):
    return datetime.datetime.fromisoformat(beat.headers["ce_time"])


def test_old_heartbeats_are_dropped_and_not_sent_late(own_executor, infra):
    kafka, brokers = KafkaRelay.of_brokers(infra.brokers)
    with contextlib.closing(kafka):
        executor = own_executor(KILN_KAFKA_BROKERS=brokers)
        executor.next_heartbeat()
        beats = lambda: executor.service.seen(type="worker.heartbeat", **executor.addressee())  # noqa: E731
        # Cut off, not frozen: what a frozen broker has in its socket it would still take.
        kafka.set_mode("refuse", cut=True)
        stays(lambda: executor.process.poll() is None, "the executor, for as long as three heartbeats may live", 15)
        before, back = len(beats()), datetime.datetime.now(datetime.UTC)
        kafka.set_mode("pass")
        wait_for(lambda: made(beats()[-1]) > back, "a heartbeat of later")
        executor.next_heartbeat(3)
        # Five seconds, one until librdkafka looks, and the rest for a busy machine.
        oldest = min(made(beat) for beat in beats()[before:])
        assert oldest >= back - datetime.timedelta(seconds=12), back - oldest
        assert [line for line in executor.lines() if line["msg"] == "a heartbeat was not acknowledged"]
        executor.stop()


def test_an_executor_that_starts_without_kafka_waits_for_it(own_executor, agents, site, infra):
    executor = own_executor()
    executor.stop()
    with infra.frozen("KAFKA"):
        executor.start(wait=False)
        wait_for(lambda: {"kafka", "worker"} <= set(executor.missing() or {}), "it to say what is missing")
    executor.wait_hello()
    assert executor.run(site.repository(), agents.write(MAKE))[0]["published"]


@pytest.mark.skipif(os.geteuid() != 0, reason="mounts a small file system")
def test_a_full_disk_is_told_and_does_no_further_harm(own_executor, agents, site, place):
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=3m,mode=777", "none", str(place)], check=True)
    try:
        executor = own_executor(state=place / "state")
        small = site.repository()
        big = site.repository(**{"big.txt": "".join(f"{n * 7919 % 1000003}\n" for n in range(1_200_000))})
        finished, attempt = executor.run(big, agents.write(MAKE))
        assert finished["outcome"] == "failed" and error_class(finished) == "internal" and finished["retryable"]
        assert "space" in finished["result"]["error"]["message"] or "full" in finished["result"]["error"]["message"], finished["result"]["error"]
        attempt.release()
        wait_for(lambda: executor.leftovers() == [], "the remains to be removed")
        fills = agents.write("cat >/dev/null; echo up; head -c 100000000 /dev/zero >fill || echo agent goes on")
        finished, attempt = executor.run(small, fills)
        assert finished["outcome"] == "failed" and finished["retryable"], finished
        attempt.release()
        wait_for(lambda: executor.leftovers() == [], "the remains to be removed")
        finished, _ = executor.run(small, agents.write(MAKE))
        assert finished["published"], finished["result"]["error"]
        executor.stop()
    finally:
        subprocess.run(["umount", "-l", str(place)], check=True)


def error_class(finished):
    return finished["result"]["error"]["class"]


@pytest.mark.parametrize("variables", [{"KILN_SANDBOX": "chroot"}, {"KILN_SANDBOX_READABLE": "opt"}, {"KILN_STATE_DIR": "relative"}, {"KILN_WORKER_ID": "x"}])
def test_a_configuration_that_cannot_be_honoured_is_refused_at_start(own_executor, variables):
    executor = own_executor()
    executor.stop()
    executor.env |= variables
    executor.start(wait=False)
    assert executor.process.wait(60) == 2
    assert "KILN_" in executor.log().splitlines()[-1]


@pytest.mark.parametrize("program", ["/nonexistent/bwrap", "/usr/bin/false"])
def test_without_a_bubblewrap_that_works_it_does_not_start(own_executor, program):
    executor = own_executor()
    executor.stop()
    del executor.env["KILN_SANDBOX"]
    executor.env["KILN_BWRAP_PROGRAM"] = program
    executor.start(wait=False)
    assert executor.process.wait(30) == 1
    said = executor.lines()[-1]
    assert said["level"] == "error" and "KILN_SANDBOX=none" in said["error"], said


def test_by_default_agents_run_in_bubblewrap(own_executor, site, agents):
    executor = own_executor()
    executor.stop()
    del executor.env["KILN_SANDBOX"]
    executor.start()
    assert executor.hello["sandbox"] == "bwrap"
    finished, attempt = executor.run(site.repository(), agents.write("cat /proc/1/comm; git log --oneline | wc -l; pwd; echo made >made"))
    assert finished["published"] and finished["result"]["output"] == "init\n1\n/workspace\n", finished["result"]
    assert attempt.phase("agent").data["sandbox"] == "bwrap"
    assert not any("unsandboxed" in line for line in attempt.lines("kiln"))
