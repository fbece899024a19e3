"""The processes of a system as things that can be killed, frozen, and started again just as they were."""

import collections
import concurrent.futures
import contextlib
import os
import pathlib
import signal
import threading
import time

from .process import spawn
from .services import environment_of, is_gone, tree
from .system import is_stopped
from .waiting import wait_for

MAX_SURPRISES = 20
KILN = ("gateway", "build-service", "executor", "notifier")  # kinds of members that are Kiln's own

# How a member ended. `status`: its exit status, or minus the signal that has killed it; None when it was no child of ours, whose status nobody
# tells. `escalated`: it did not end by the signal that was sent, and got SIGKILL.
Ending = collections.namedtuple("Ending", "status escalated")


def send(pid, number):
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, number)


class Member:
    """One process, and how to start it again. `life` is held by whoever does something to it."""

    def __init__(self, fleet, name, argv, environment, cwd, log, pid=None):
        self.fleet = fleet
        self.name = name
        self.kind = name.rpartition("-")[0] if name[-1].isdigit() else name
        self.argv = argv
        self.environment = environment
        self.cwd = cwd
        self.log = log
        self.pid = pid
        self.process = None
        self.worker_id = None
        self.life = threading.RLock()
        self.wanted = pid is not None
        self.frozen = []
        self.deaths = []  # wall-clock times

    @classmethod
    def of_pid(cls, fleet, name, pid):
        proc = pathlib.Path("/proc", str(pid))
        argv = [part.decode() for part in (proc / "cmdline").read_bytes().split(b"\0")[:-1]]
        argv[0] = str((proc / "exe").readlink())
        return cls(fleet, name, argv, environment_of(pid), str((proc / "cwd").readlink()), fleet.system.folder / "log" / f"{name}.log", pid)

    def start(self):
        with self.life:
            if self.kind == "postgres":
                self._tidy_postgres()
            # It ends with the thread that has started it, which lives as long as this program.
            self.process = self.fleet.starter.submit(spawn, self.fleet.system, self.argv, self.environment, self.log, self.cwd).result()
            self.pid = self.process.pid
            self.wanted = True

    def _tidy_postgres(self):
        """A child of the dead one, made a moment before its death, keeps the shared memory; the number in the file may be somebody else's by now."""
        for entry in pathlib.Path("/proc").iterdir():
            with contextlib.suppress(OSError):
                if entry.name.isdigit() and str((entry / "cwd").readlink()) == self.cwd:
                    send(int(entry.name), signal.SIGKILL)
                    wait_for(lambda entry=entry: is_gone(int(entry.name)), "an orphan of Postgres to be gone")
        pathlib.Path(self.cwd, "postmaster.pid").unlink(missing_ok=True)

    def is_dead(self):
        return self.process.poll() is not None if self.process is not None else is_gone(self.pid)

    def take_over(self, **environment):
        """From ./dev, with these variables changed: a child of ours tells with which status it ended."""
        with self.life:
            self.end(signal.SIGKILL, whole=True)
            self.environment |= environment
            self.start()

    def minds(self, number):
        """Its main thread has a handler for this signal, or blocks it for somebody who reads it: a service that has just been started does not yet."""
        status = pathlib.Path("/proc", str(self.pid), "status").read_text(encoding="ascii", errors="replace")
        fields = dict(line.split(":", 1) for line in status.splitlines() if ":" in line)
        return bool((int(fields["SigCgt"], 16) | int(fields["SigBlk"], 16)) >> (number - 1) & 1)

    def wait_minds(self, number):
        with contextlib.suppress(OSError):  # it is dead, which its end tells
            wait_for(lambda: self.is_dead() or self.minds(number), f"{self.name} to mind signal {number}")

    def end(self, number, whole=False, patience=60):
        """Ends it, or the whole tree of its processes; SIGKILL after so many seconds. Returns the Ending."""
        with self.life:
            if self.wanted and self.is_dead():
                self.fleet.note_death(self)  # before anybody did anything to it
            self.wanted = False
            escalated = False
            if whole:
                send(self.pid, signal.SIGSTOP)  # or it has one more child than was counted, which keeps Postgres' memory
            pids = tree(self.pid) if whole else [self.pid]
            for pid in pids:
                send(pid, number)
            try:
                wait_for(lambda: self.is_dead() and all(map(is_gone, pids[1:])), f"{self.name} to end", patience)
            except AssertionError:
                escalated = True
                for pid in pids:
                    send(pid, signal.SIGKILL)
                wait_for(lambda: self.is_dead() and all(map(is_gone, pids[1:])), f"{self.name} to be gone")
            self.deaths.append(time.time())
            return Ending(self.process.returncode if self.process is not None else None, escalated)

    def freeze(self, whole):
        """All threads of it stand still when this returns, and all of its descendants if wanted."""
        with self.life:

            def stop_new():
                new = [pid for pid in (tree(self.pid) if whole else [self.pid]) if pid not in self.frozen]
                for pid in new:
                    send(pid, signal.SIGSTOP)
                self.frozen += new
                return not new

            wait_for(stop_new, f"all of {self.name} to be stopped")
            wait_for(lambda: all(is_stopped(pid) or is_gone(pid) for pid in self.frozen), f"{self.name} to stand still")

    def thaw(self):
        with self.life:
            for pid in self.frozen:
                send(pid, signal.SIGCONT)
            self.frozen = []

    def last_words(self):
        lines = self.log.read_text(encoding="utf-8", errors="replace").splitlines()
        return " | ".join(lines[-3:])[-600:]


class Fleet:
    """All members. What ends by itself is started again, and told."""

    def __init__(self, system):
        self.system = system
        self.starter = concurrent.futures.ThreadPoolExecutor(1, "starter")
        self.members = {}
        self.surprises = []  # sentences
        self.closing = threading.Event()
        self.thread = threading.Thread(target=self._supervise, name="supervisor", daemon=True)

    def adopt(self, name, pid):
        return self._add(Member.of_pid(self, name, pid))

    def adopt_all(self):
        """What ./dev has started: gateway-1, build-service-1, executor-1 …, kafka-1 …, notifier, postgres, git-server."""
        for kind in ("gateway", "build-service", "executor", "kafka"):
            for number, pid in enumerate(self.system.pids(kind.upper().replace("-", "_")), 1):
                self.adopt(f"{kind}-{number}", pid)
        for kind in ("notifier", "postgres"):
            self.adopt(kind, *self.system.pids(kind.upper()))
        self.adopt("git-server", int((self.system.folder / "pid" / "git-server").read_text(encoding="ascii").split()[0]))

    def another(self, like, name, **environment):
        """One more like a member, with these variables; not started."""
        log = self.system.folder / "log" / f"{name}.log"
        return self._add(Member(self, name, like.argv, like.environment | environment, like.cwd, log))

    def _add(self, member):
        self.members[member.name] = member
        return member

    def of(self, kind):
        return [member for member in self.members.values() if member.kind == kind]

    def watch(self):
        self.thread.start()

    def _supervise(self):
        while not self.closing.wait(0.25):
            for member in self.members.values():
                if member.wanted and member.is_dead() and member.life.acquire(blocking=False):
                    try:
                        self._revive(member)
                    finally:
                        member.life.release()

    def _revive(self, member):
        if not member.wanted or not member.is_dead():
            return  # somebody was at it
        self.note_death(member)
        member.deaths.append(time.time())
        member.start()

    def note_death(self, member):
        """It is dead, and nobody has done that."""
        status = member.process.returncode if member.process is not None else "unknown"
        if len(self.surprises) < MAX_SURPRISES:
            self.surprises.append(f"{member.name} ended by itself with {status}: {member.last_words()}")

    def close(self):
        """Ends all of them: their data goes too."""
        self.closing.set()
        if self.thread.is_alive():
            self.thread.join(60)
        for member in self.members.values():
            member.wanted = False
            member.thaw()
            for pid in [] if member.is_dead() else tree(member.pid):
                send(pid, signal.SIGKILL)
        for member in self.members.values():
            wait_for(member.is_dead, f"{member.name} to be gone")
        self.starter.shutdown()
