"""How a member ended is told, and what it means for a run."""

import os
import pwd
import signal
import threading
import types

import nemeses
import pytest
from kiln_testing.fleet import Ending, Fleet, Member
from kiln_testing.system import System

CLEAN = "trap 'exit 0' TERM; while :; do sleep 0.05; done"
WORRIED = "trap 'exit 3' TERM; while :; do sleep 0.05; done"
DEAF = "trap : TERM; while :; do sleep 0.05; done"
BARE = "while :; do sleep 0.05; done"


@pytest.fixture
def start(tmp_path):
    """A member that runs this script, as one of the fleet."""
    system = System(tmp_path)
    system.env["KILN_RUN_USER"] = pwd.getpwuid(os.geteuid()).pw_name
    fleet = Fleet(system)

    def starts(script):
        member = fleet.members["notifier"] = Member(fleet, "notifier", ["/bin/bash", "-c", script], {"PATH": "/usr/bin:/bin"}, "/", tmp_path / "log")
        member.start()
        return member

    yield starts
    fleet.close()


@pytest.mark.parametrize("script, status", [(CLEAN, 0), (WORRIED, 3)])
def test_an_end_tells_the_status(start, script, status):
    member = start(script)
    member.wait_minds(signal.SIGTERM)
    assert member.end(signal.SIGTERM) == Ending(status, False)


def test_an_end_by_the_signal_tells_the_signal(start):
    assert start(BARE).end(signal.SIGTERM) == Ending(-signal.SIGTERM, False)


def test_an_end_that_took_sigkill_says_so(start):
    member = start(DEAF)
    member.wait_minds(signal.SIGTERM)
    assert member.end(signal.SIGTERM, patience=1) == Ending(-signal.SIGKILL, True)


def test_an_end_of_one_that_was_dead_is_a_surprise(start):
    member = start("exit 4")
    member.process.wait(60)
    assert member.end(signal.SIGTERM) == Ending(4, False)
    assert "notifier ended by itself with 4" in member.fleet.surprises[0]


def played(member, number=signal.SIGTERM):
    """Whether ending it was seen, and what was wrong with it."""
    over = threading.Event()
    over.set()
    scene = nemeses.Scene(types.SimpleNamespace(brokers=""), member.fleet, None, over)
    return nemeses.End("end notifier", member.name, 0, number).run(scene), scene.wrong


def test_a_service_that_ends_by_sigterm_with_0_is_as_it_should_be(start):
    assert played(start(CLEAN)) == (True, [])


def test_a_service_that_ends_by_sigterm_with_another_status_is_a_violation(start):
    seen, wrong = played(start(WORRIED))
    assert seen and "with status 3" in wrong[0]


def test_a_service_that_is_killed_may_end_as_it_will(start):
    assert played(start(WORRIED), signal.SIGKILL) == (True, [])


class FakeLinks:
    """Felt from the so manieth question on."""

    def __init__(self, silent):
        self.silent, self.modes = silent, []

    def set(self, names, mode, _delay_s=0):
        self.modes.append((tuple(names), mode))

    def touched(self, _names):
        self.silent -= 1
        return int(self.silent < 0)


@pytest.mark.parametrize("silent, patience_s, seen", [(0, 0, True), (5, 60, True), (5, 0, False), (1 << 30, 0.3, False)])
def test_a_link_waits_to_be_felt_as_long_as_it_has_patience_and_is_healed(silent, patience_s, seen):
    links = FakeLinks(silent)
    scene = nemeses.Scene(types.SimpleNamespace(brokers=""), None, links, threading.Event())
    assert nemeses.Net("part from git", "executors", 0, ("git",), "hold", 0, patience_s).run(scene) == seen
    assert links.modes == [(("executors/git",), "hold"), (("executors/git",), "pass")]
