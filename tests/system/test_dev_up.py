"""./dev on a system of its own: up killed while it starts services, status of what is partly up or down, a demo that fails, a clean down."""

import contextlib
import hashlib
import os
import pathlib
import re
import signal
import subprocess
import sys
import uuid

import pytest
from kiln_testing import places
from kiln_testing.agents import Agents, processes_with, spec
from kiln_testing.client import Client
from kiln_testing.services import is_gone
from kiln_testing.system import System, dev, free_folder, own_environment, states
from kiln_testing.waiting import wait_for

# The demo's agent finds none of its programs; and no sandbox takes an agent's processes with it.
SETTINGS = {"KILN_BIN": str(places.BIN), "KILN_AGENT_PATH": "/nonexistent", "KILN_SANDBOX": "none"}
SERVICES = ("gateway", "build-service", "notifier", "executor-1")
EVERYBODY = ("postgres", "kafka-1", "git-server", *SERVICES)


@pytest.fixture(scope="module")
def system():
    one = System(free_folder("kiln-test-own-"))
    yield one
    one.down()


@pytest.fixture
def whole(system):
    """The system, with all that belongs to it."""
    system.up(env=SETTINGS)
    return system


def pid_of(system, name):
    with contextlib.suppress(OSError, IndexError):  # not written yet
        return int((system.folder / "pid" / name).read_text(encoding="ascii").split()[0])
    return None


def instances(name):
    """Processes of the program itself, wherever it lies, without those that it starts for a task of their own."""
    found = []
    for process in pathlib.Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            program, *rest = (process / "cmdline").read_text(encoding="utf-8", errors="replace").split("\0")
            if pathlib.PurePath(program).name == name and rest == [""]:
                found.append(int(process.name))
    return found


def kill_up(system, name, program):
    """./dev up with all of its process group, at the moment when it has started `name`."""
    before = pid_of(system, name)
    if before in instances(program):  # the last kill came late
        os.kill(before, signal.SIGKILL)
    up = subprocess.Popen(
        [str(places.DEV), "up"], env=own_environment() | SETTINGS | {"KILN_DEV_DIR": str(system.folder)}, stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True,
    )  # fmt: skip
    try:
        wait_for(lambda: pid_of(system, name) not in (None, before) or up.poll() is not None, f"{name} to be started", deadline=300, poll=0.01)
    finally:
        os.killpg(up.pid, signal.SIGKILL)
    assert up.wait(60) == -signal.SIGKILL


@pytest.mark.timeout(900)
def test_an_up_that_is_killed_while_services_start_is_finished_by_the_next(system):
    kill_up(system, "gateway", "kiln-gateway")
    kill_up(system, "executor-1", "kiln-executor")
    system.up(env=SETTINGS)
    assert system.is_whole() and system.is_ready()
    # Nobody of the killed ones is left beside those that count.
    ours = set(processes_with(f"HOME={system.run}/home"))
    for name in ("GATEWAY", "BUILD_SERVICE", "NOTIFIER", "EXECUTOR"):
        assert ours & set(instances(f"kiln-{name.lower().replace('_', '-')}")) == set(system.pids(name))


def test_status_names_the_service_that_is_gone(whole):
    (pid,) = whole.pids("NOTIFIER")
    os.kill(pid, signal.SIGKILL)
    wait_for(lambda: is_gone(pid), "the notifier to be gone")
    done = dev(whole.folder, "status")
    assert (done.returncode, states(done)) == (1, dict.fromkeys(EVERYBODY, "up") | {"notifier": "down"})


def test_status_names_the_service_that_is_not_ready(whole):
    with whole.frozen("NOTIFIER"):
        done = dev(whole.folder, "status")
    assert (done.returncode, states(done)) == (1, dict.fromkeys(EVERYBODY, "up") | {"notifier": "not ready"})


@pytest.fixture
def demo_tools(whole):
    """The demo's Python packages, in the place where it would install them: the tests have them."""
    folder = whole.folder / "venv"
    (folder / "bin").mkdir(parents=True, exist_ok=True)
    python = folder / "bin" / "python3"
    python.write_text(f'#!/bin/sh\nexec {sys.executable} "$@"\n', encoding="utf-8")
    python.chmod(0o755)
    wanted = hashlib.sha256((places.ROOT / "deploy/dev/requirements.txt").read_bytes()).hexdigest()
    (folder / "kiln-installed").write_text(f"{wanted}  -\n", encoding="ascii")


def test_a_demo_whose_agent_fails_says_so_and_fails(whole, demo_tools):  # pylint: disable=unused-argument
    done = dev(whole.folder, "demo", env=SETTINGS)
    assert done.returncode == 1
    assert "demo: the build failed: {'class': 'agent_failed'" in done.stderr
    assert done.stderr.endswith("dev: the demo failed; ./dev status and ./dev logs SERVICE tell more\n")
    assert "build.failed" in done.stdout and "all verified" not in done.stdout and "Kiln is still up" not in done.stdout


def test_down_leaves_no_process_not_even_an_agents_whose_executor_was_killed(whole):
    marker = f"marker-{uuid.uuid4().hex}"
    command = Agents(whole).write(f"MARKER={marker} /usr/bin/setsid /usr/bin/sleep 1000")
    Client(whole.url, whole.env["KILN_TOKEN"]).post("/project/create-and-build", {"project": {"name": "down"}, "build": spec(command)}, expect=202)
    wait_for(lambda: len(processes_with(marker)) > 0, "the agent to be at work")
    whole.signal("EXECUTOR", signal.SIGKILL)
    whole.down(clean=False)
    assert processes_with(marker) == []
    assert processes_with(f"HOME={whole.run}/home") == []
    done = dev(whole.folder, "status")
    assert (done.returncode, states(done)) == (1, dict.fromkeys(EVERYBODY, "down"))  # and status says so


def test_a_clean_down_leaves_nothing_to_look_at(whole):
    run = whole.run
    (whole.folder / "env.abcdef").touch()  # by an up that was killed while it wrote
    done = dev(whole.folder, "down", "--clean")
    assert (done.returncode, done.stderr) == (0, "")
    assert processes_with(f"HOME={run}/home") == [] and not run.exists()
    assert {entry.name for entry in whole.folder.iterdir()} <= {"lock", "venv"}
    for command in ("status", "logs", "psql", "events"):
        done = dev(whole.folder, command)
        assert done.returncode == 1 and re.search(r"^(dev: )?nothing (was started|runs) here.*: \./dev up$", done.stdout + done.stderr, re.M)
