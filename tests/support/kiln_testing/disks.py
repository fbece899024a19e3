"""File systems of a limited size, for what must happen when a disk is full."""

import contextlib
import os
import pathlib
import shutil
import signal
import subprocess
import unittest

from .services import is_gone
from .waiting import wait_for


def mount(folder, size):
    """A file system of its own on an empty folder; skips the test where that may not be."""
    done = subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size},mode=0700", "tmpfs", folder], check=False, capture_output=True, text=True)
    if os.geteuid() != 0 or done.returncode != 0:
        raise unittest.SkipTest(f"a file system of its own cannot be mounted here: {done.stderr.strip()}")


def unmount(folder):
    wait_for(lambda: subprocess.run(["umount", folder], check=False, capture_output=True).returncode == 0, "the disk to be free")


@contextlib.contextmanager
def mounted(folder, size):
    """One for the time of the block."""
    mount(folder, size)
    try:
        yield
    finally:
        unmount(folder)


def mounted_below(*folders):
    """What is mounted in there, the deepest first. A folder may be a link."""
    tops = {pathlib.Path(folder).resolve() for folder in folders}
    lines = pathlib.Path("/proc/self/mounts").read_text(encoding="utf-8").splitlines()
    paths = [pathlib.Path(line.split()[1]) for line in lines]
    return sorted((path for path in paths if not tops.isdisjoint(path.parents)), reverse=True)


@contextlib.contextmanager
def full(folder):
    """No byte is free for the time of the block."""
    filler = pathlib.Path(folder) / "filler"
    try:
        with filler.open("wb", buffering=0) as file:
            for size in (1 << 20, 4096, 1):
                with contextlib.suppress(OSError):
                    while file.write(b"x" * size) == size:
                        pass
        yield
    finally:
        filler.unlink()


def move_data(system, name, size):
    """The data of POSTGRES or KAFKA to a small disk, where they stay until System.down(); System.up() starts the server again. The disk's folder."""
    data = system.run / {"POSTGRES": "postgres", "KAFKA": "kafka-1"}[name]
    system.signal(name, signal.SIGINT if name == "POSTGRES" else signal.SIGTERM)
    wait_for(lambda: all(map(is_gone, system.pids(name))), f"{name} to end")
    old = data.rename(data.with_name(f"{data.name}-old"))
    data.mkdir()
    try:
        mount(data, size)
    except unittest.SkipTest:
        data.rmdir()
        old.rename(data)
        raise
    subprocess.run(["cp", "-a", f"{old}/.", data], check=True)
    shutil.rmtree(old)
    return data
