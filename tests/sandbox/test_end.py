"""Nothing of an agent outlives it, however it hides and whoever dies first."""
import os
import signal

from kiln_testing.waiting import wait_for

# Two forks and a session of its own; closes everything; another name and no environment to be found by. Says by a file that it is there.
DAEMON = """#!/usr/bin/python3 -SE
import os, sys, time
if os.fork() == 0:
    os.setsid()
    if os.fork() != 0: os._exit(0)
    os.closerange(0, 64)
    env = {"KILN_LEASE_ID": os.environ["KILN_LEASE_ID"]}
    open(os.environ["HOME"] + "/there", "w").close()
    os.execve("/bin/sleep", ["sleep", "600"], env)
while not os.path.exists(os.environ["HOME"] + "/there"): time.sleep(0.01)
print("left", flush=True)
"""


def test_a_daemon_that_was_forked_twice_dies_with_its_agent(world, leftovers):
    said = world.run("bwrap", DAEMON)
    assert said["success"] and said["output"] == "left\n", said
    assert leftovers(said["lease"]) == []


def killed_with_its_agent_running(world, sandbox):
    """The executor's process is killed while a daemon of its agent runs."""
    process = world.start(sandbox, world.write(DAEMON + "time.sleep(600)\n"))
    wait_for(lambda: (world.workspace(process.lease) / "home" / "there").exists(), "the daemon to be there")
    os.kill(process.pid, signal.SIGKILL)
    process.communicate()
    return process.lease


def test_all_of_an_agent_dies_with_the_executor(world, leftovers):
    lease = killed_with_its_agent_running(world, "bwrap")
    wait_for(lambda: not leftovers(lease), "all of the agent to be gone")


def test_without_a_sandbox_a_daemon_outlives_the_executor(world, leftovers):
    lease = killed_with_its_agent_running(world, "none")
    wait_for(lambda: len(leftovers(lease)) == 1, "the daemon alone to be left")


def test_an_agent_that_holds_its_output_open_does_not_hold_up_the_end(world):
    assert world.run("bwrap", "#!/bin/bash\n(setsid sleep 600 &)\necho done")["output"] == "done\n"


def test_an_agent_that_ignores_every_signal_is_killed(world, leftovers):
    def killed(timeout_ms):
        """Whether it ignored them by then."""
        said = world.run("bwrap", "#!/bin/bash\ntrap '' TERM INT HUP\necho deaf\nwhile :; do sleep 0.1; done", KILN_TEST_TIMEOUT_MS=str(timeout_ms))
        assert said["end"] == "timed_out" and leftovers(said["lease"]) == [], said
        return said["output"] == "deaf\n"

    assert any(map(killed, (500, 5000, 50000)))
