"""A benchmark that is ended from outside leaves nothing of its system."""

import os
import pathlib
import signal
import subprocess
import sys

import pytest
from kiln_testing.agents import processes_with

# They say what must be gone at their end.
MAKE = """
import os, pathlib, signal, sys, tempfile
from kiln_testing.endings import PARENT, tidied_by
folder = pathlib.Path(tempfile.mkdtemp())
"""
BLOCK = """
with tidied_by(folder.rmdir):
    print(folder, flush=True)
    signal.pause()
"""
FOLDER = MAKE + BLOCK
# Once more each, in the last moment.
AGAIN = """
set_handler = signal.signal
def signalled(number, handler):
    if handler == signal.SIG_IGN:
        signal.raise_signal(number)
    return set_handler(number, handler)
signal.signal = signalled
"""
ORPHANED = """
from kiln_testing.waiting import wait_for
print(folder, flush=True)
wait_for(lambda: os.getppid() != PARENT, "the parent to be gone")
"""
# Without Kiln's own services, which need not be built for this.
SYSTEM = """
import signal
import rig
with rig.rig("ended", "--infra") as it:
    print(it.system.folder, flush=True)
    signal.pause()
"""
# A process that waits for the benchmark, as ./dev bench does.
PARENT = [sys.executable, "-c", "import subprocess, sys; subprocess.run(sys.argv[1:])"]


def ended(number, script, parent=()):
    """The folder that the script told, when the first of its processes was sent the signal and all of them have ended."""
    path = f"{pathlib.Path(__file__).parent}:{os.environ['PYTHONPATH']}"
    environment = os.environ | {"KILN_BIN": "/nonexistent", "PYTHONPATH": path}
    with subprocess.Popen([*parent, sys.executable, "-c", script], env=environment, stdout=subprocess.PIPE, text=True) as process:
        folder = pathlib.Path(process.stdout.readline().strip())
        assert folder.is_dir() and folder.is_absolute()
        process.send_signal(number)
        process.stdout.read()  # until the last one that has it ends
    return folder


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_a_program_tidies_up_when_it_is_sent(number):
    assert not ended(number, FOLDER).exists()


def test_a_program_tidies_up_when_it_is_sent_signals_on_its_way_out():
    assert not ended(signal.SIGTERM, MAKE + AGAIN + BLOCK).exists()


def test_a_program_ends_when_its_parent_was_killed_before_it_had_anything_to_tidy_up():
    assert not ended(signal.SIGKILL, MAKE + ORPHANED + BLOCK, PARENT).exists()


def test_a_rig_tidies_up_when_its_parent_is_killed():
    folder = ended(signal.SIGKILL, SYSTEM, PARENT)
    assert not folder.exists()
    assert not processes_with(str(folder))
