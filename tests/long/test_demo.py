"""`./dev demo` in a fresh clone, as README.md tells a new user; and what `./dev down` leaves of the system that it starts: nothing."""

import os
import pathlib
import re
import shutil
import subprocess
import tempfile
import uuid

import pytest
from kiln_testing import places
from kiln_testing.agents import Agents, processes_with, spec
from kiln_testing.client import Client
from kiln_testing.system import System, own_environment
from kiln_testing.waiting import wait_for

# What a person is shown of it, in this order; columns are as wide as they are.
STORY = """
1. Set-up
2. Build, and start Postgres, Kafka, a git server and the services
3. One build, from POST to commit and webhook
202 pending: build
build.pending pending queued
build.started running
build.completed completed
checked: pending -> running -> completed
events without a gap, their hash chain ends in
signature verified by the library standardwebhooks
has the commit
| Kiln-Build:
the agent's log:
all verified
Kiln is still up. What to look at next:
./dev down stop all of it
"""


class Clone:
    """Of what is committed; what its ./dev makes elsewhere than in it lies in `temp`."""

    def __init__(self, place):
        self.folder, self.temp = place / "clone", place / "tmp"
        self.temp.mkdir()
        self.temp.chmod(0o1777)
        done = subprocess.run(["git", "clone", "-q", places.ROOT, self.folder], capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr

    def dev(self, *arguments):
        environment = own_environment() | {"TMPDIR": str(self.temp)}
        done = subprocess.run(
            ["./dev", *arguments], cwd=self.folder, env=environment, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=1800, check=False
        )
        assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-4000:]
        return done.stdout

    def daemons(self):
        """{name: pid}, of its pid files."""
        return {file.name: int(file.read_text(encoding="ascii").split()[0]) for file in (self.folder / ".dev" / "pid").iterdir()}

    def processes(self):
        return processes_with(str(self.folder))


@pytest.fixture(scope="module", name="clone")
def clone_fixture():
    if not (places.ROOT / ".git").exists():
        pytest.skip("the tests' own folder is no repository")
    place = pathlib.Path(tempfile.mkdtemp(prefix="kiln-test-demo-", dir=os.environ.get("KILN_TEST_TMP")))
    place.chmod(0o755)
    clone = Clone(place)
    try:
        yield clone
    finally:
        clone.dev("down", "--clean")
        shutil.rmtree(place, ignore_errors=True)


@pytest.fixture(scope="module", name="told")
def told_fixture(clone):
    """The lines of ./dev demo, which leaves the system up."""
    return clone.dev("demo").splitlines()


def test_the_demo_shows_a_build_from_post_to_commit_and_webhook(told):
    rest = (" ".join(line.split()) for line in told)
    for words in STORY.strip().splitlines():
        assert any(words in line for line in rest), f"{words!r} is missing in:\n" + "\n".join(told)
    timed = [line for line in told if "checked: " in line or "all verified" in line]
    assert len(timed) == 5 and all(re.match(r" +[0-9.]+ ms  ", line) for line in timed)


def test_the_demo_leaves_the_clone_as_it_was(clone, told):
    assert told
    changed = subprocess.run(["git", "status", "--porcelain"], cwd=clone.folder, capture_output=True, text=True, check=True).stdout
    assert changed == ""
    assert list(clone.temp.iterdir()) == []


def test_down_leaves_no_process_of_it_not_even_an_agents(clone, told):
    assert told
    system, marker = System(clone.folder / ".dev").attach(), f"marker-{uuid.uuid4().hex}"
    daemons = clone.daemons()
    assert {"postgres", "kafka-1", "git-server", "gateway", "build-service", "notifier", "executor-1"} <= daemons.keys()
    assert set(daemons.values()) <= set(clone.processes())
    # One of its processes has left the agent's session.
    command = Agents(system).write(f"MARKER={marker} setsid sleep 1000 & MARKER={marker} sleep 1000")
    body = {"project": {"name": "down"}, "build": spec(command)}
    Client(system.url, system.env["KILN_TOKEN"]).post("/project/create-and-build", body, expect=202)
    wait_for(lambda: len(processes_with(marker)) >= 2, "the agent to be at work")
    clone.dev("down")
    assert processes_with(marker) == []
    assert clone.processes() == []
    assert clone.daemons() == {}


def test_a_clean_down_leaves_no_data_of_it(clone, told):
    assert told
    run = (clone.folder / ".dev" / "run").resolve()
    assert run.exists()
    clone.dev("down", "--clean")
    assert not run.exists()
    assert {entry.name for entry in (clone.folder / ".dev").iterdir()} == {"lock", "venv"}
