"""The system that most tests share: started by whoever comes first, ended by whoever leaves last.

    python3 -m kiln_testing.shared up FOLDER | infra FOLDER | down FOLDER

ctest starts and ends it by these (infra: only Kafka, Postgres and git, for integration tests); pytest alone (also with -n) finds that nobody did, and does it itself.
"""

import contextlib
import fcntl
import os
import pathlib
import sys

from .system import System

OPTIONS = ("--executors", "2", "--slots", "4")
# What would only make tests wait.
SETTINGS = {"KILN_KILL_GRACE_MS": "300", "KILN_WEBHOOK_SCHEDULE": "0,2,2,300", "KILN_RETENTION_EVERY_S": "1"}


def start(folder, *options):
    folder = pathlib.Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    folder.chmod(0o755)
    return System(folder).up(*(options or OPTIONS), env=SETTINGS)


class Share:
    """One process's share in a system under `folder`."""

    def __init__(self, folder):
        self.folder = pathlib.Path(folder)
        self.users = self.folder.with_name(self.folder.name + ".users")
        self.mine = self.users / str(os.getpid())

    def _locked(self):
        """The lock, held until it is closed. Who leaves last removes its file, so that it may be a file of the past."""
        while True:
            self.users.mkdir(parents=True, exist_ok=True)
            with contextlib.suppress(FileNotFoundError):
                lock = (self.users / "lock").open("a", encoding="ascii")
                fcntl.flock(lock, fcntl.LOCK_EX)
                if pathlib.Path(lock.name).exists() and os.path.samestat(os.fstat(lock.fileno()), os.stat(lock.name)):
                    return lock
                lock.close()

    def enter(self):
        with self._locked():
            self.mine.touch()
            return start(self.folder)

    def leave(self):
        with self._locked() as lock:
            self.mine.unlink(missing_ok=True)
            others = [entry for entry in self.users.iterdir() if entry.name.isdigit() and pathlib.Path("/proc", entry.name).exists()]
            if not others:
                System(self.folder).down()
                pathlib.Path(lock.name).unlink()
                with contextlib.suppress(OSError):  # the next one has come already
                    self.users.rmdir()


def main():
    what, folder = sys.argv[1:]
    if what == "up":
        start(folder)
    elif what == "infra":
        start(folder, "--infra")
    elif what == "down":
        System(folder).down()
    else:
        sys.exit(__doc__)


if __name__ == "__main__":
    main()
