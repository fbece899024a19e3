"""A disk that is full: builds fail with a reason, and the next one works when there is room again."""

import contextlib
import os
import subprocess
import uuid

from kiln_testing import disks
from kiln_testing.waiting import wait_for

SIZE = "24m"


@contextlib.contextmanager
def small_disk(system):
    """A state directory on a file system of its own."""
    folder = system.run / f"small-{uuid.uuid4().hex[:8]}"
    folder.mkdir()
    try:
        with disks.mounted(folder, SIZE):
            system.give(folder, 0o700)
            yield folder
    finally:
        folder.rmdir()


def test_a_full_disk_fails_the_build_and_only_as_long_as_it_is_full(kiln):
    label = f"l{uuid.uuid4().hex[:10]}"
    with small_disk(kiln.system) as disk, kiln.system.executor(slots=1, labels=[label], state=disk):
        project, repository = kiln.seeded()
        before = repository.tip()

        def run(script):
            return kiln.wait_end(kiln.run(project, script, labels=[label], auto_commit=True, auto_push=True, max_attempts=1))

        fills = run("head -c 100000000 /dev/urandom > big || echo full; echo still here")
        assert fills["status"] == "failed", fills["result"]
        assert fills["result"]["error"]["class"] in ("agent_failed", "internal")
        assert repository.tip() == before

        # What it has used is given back behind its end.
        wait_for(lambda: not list((disk / "trash").iterdir()), "the first build's files to be removed")
        with disks.full(disk):
            starts = run("echo x > x.txt")
        assert starts["status"] == "failed" and starts["result"]["error"]["class"] == "internal", starts["result"]

        again = run("echo x > x.txt")
        assert again["status"] == "completed", again["result"]
        assert repository.tip() == again["result"]["commit_sha"]


def test_a_mirror_that_does_not_fit_fails_its_build_and_nobody_elses(kiln):
    label = f"l{uuid.uuid4().hex[:10]}"
    with small_disk(kiln.system) as disk, kiln.system.executor(slots=1, labels=[label], state=disk):
        large, repository = kiln.seeded({"large.txt": os.urandom(30_000_000).hex()})
        small, _ = kiln.seeded()

        def run(project):
            return kiln.wait_end(kiln.run(project, "echo x > x.txt", labels=[label], auto_commit=True, auto_push=True, max_attempts=1))

        fails = run(large)
        assert fails["status"] == "failed", fails["result"]
        assert run(small)["status"] == "completed"
        # Half a mirror is in nobody's way when there is room.
        subprocess.run(["mount", "-o", "remount,size=400m", disk], check=True)
        again = run(large)
        assert again["status"] == "completed", again["result"]
        assert repository.tip() == again["result"]["commit_sha"]
