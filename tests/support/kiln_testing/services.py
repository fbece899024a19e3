"""More instances of a system's services, with the environment of the one that runs; and whole trees of processes stopped."""

import contextlib
import ctypes
import os
import pathlib
import random
import re
import signal
import socket
import subprocess
import uuid

import httpx

from .process import end, metric_of, spawn
from .waiting import wait_for


_kept = []  # sockets that keep the ports of free_port


def free_port():
    """A port that stays the caller's until this process ends, also while nothing listens on it: systems choose theirs at the same time.

    Below the range that outgoing connections use, as ./dev chooses: one of those would sooner or later sit on it. The bind is exclusive; after it
    whoever reuses addresses, as every server does, may share the port, for this socket never listens."""
    while True:
        keeper = socket.socket()
        try:
            keeper.bind(("127.0.0.1", random.randrange(12000, 32000)))
        except OSError:
            keeper.close()
            continue
        keeper.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        _kept.append(keeper)
        return keeper.getsockname()[1]


def environment_of(pid):
    data = pathlib.Path("/proc", str(pid), "environ").read_bytes()
    return dict(entry.split("=", 1) for entry in data.decode().split("\0") if "=" in entry)


def is_gone(pid):
    """A zombie is gone too."""
    try:
        return pathlib.Path("/proc", str(pid), "stat").read_text(encoding="ascii", errors="replace").rpartition(")")[2].split()[0] in "ZX"
    except OSError:
        return True


def cpu_seconds(pid):
    """Of the process so far, without its children."""
    fields = pathlib.Path("/proc", str(pid), "stat").read_text(encoding="ascii").rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def ops_get(ops, path):
    """The answer of an ops port, or None while it is closed. Patient: /readyz asks Kafka, and that may be away."""
    try:
        return httpx.get(f"{ops}{path}", timeout=60, trust_env=False, verify=False)
    except httpx.TransportError:
        return None


def is_ready(ops):
    return (answer := ops_get(ops, "/readyz")) is not None and answer.status_code == 200


class Service:
    """A process that a test has started beside those of ./dev, on ports that it has chosen itself."""

    def __init__(self, process, log):
        self.process = process
        self.log = log  # the path of what it writes
        self.url = self.ops = None

    def find_ports(self, listens=True):
        """Waits for what it says of them."""
        self.ops = wait_for(lambda: self._url("ops port open"), "the log to tell the ops port")
        self.url = wait_for(lambda: self._url("listening"), "the log to tell the port") if listens else None

    def _url(self, words):
        text = self.log.read_text(encoding="utf-8", errors="replace")
        found = re.search(rf'\b{words}\b.*?\bport"?[=:]"?(\d+)', text)
        if found is None and self.process.poll() is not None:
            raise RuntimeError(f"the service has ended: {text[-2000:]}")
        return found and f"http://127.0.0.1:{found[1]}"

    def readyz(self):
        """Its answer, or None while the port is closed."""
        assert self.process.poll() is None, "the service has ended"
        return ops_get(self.ops, "/readyz")

    def wait_ready(self):
        wait_for(lambda: (answer := self.readyz()) is not None and answer.status_code == 200, "the service to be ready")

    def end(self):
        end(self.process)

    def metric(self, name):
        return metric_of(wait_for(lambda: ops_get(self.ops, "/metrics"), "the metrics").text, name)


def start_beside(system, name, *, open_files=None, **variables):
    """One more `name` (gateway, build-service or notifier) with the environment of the one that runs and an ops port of its own."""
    pid, *_ = system.pids(name.upper().replace("-", "_"))
    limited = ["prlimit", f"--nofile={open_files}", "--"] if open_files is not None else []
    path = system.folder / "log" / f"{name}-{uuid.uuid4().hex[:12]}.log"
    program = pathlib.Path(system.env["KILN_BIN"], f"kiln-{name}")
    return Service(spawn(system, [*limited, program], environment_of(pid) | {"KILN_OPS_PORT": "0"} | variables, path), path)


def migrate(system, command, expect=0):
    """A command of kiln-migrate, by the owner of the database: what it says on standard output, and on standard error."""
    done = subprocess.run(
        [str(pathlib.Path(system.env["KILN_BIN"]) / "kiln-migrate"), command],
        env={"PATH": "/usr/bin:/bin", "KILN_DATABASE_URL": system.env["KILN_DATABASE_URL"], "KILN_KAFKA_BROKERS": system.brokers},
        cwd="/",
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
        **system.as_run_user(),
    )
    assert done.returncode == expect, done.stdout + done.stderr
    return done.stdout, done.stderr


@contextlib.contextmanager
def second_gateway(system, *, open_files=None, **variables):
    """One more gateway on ports of its own, which it is waited for to open. `open_files`: its limit of descriptors."""
    gateway = start_beside(system, "gateway", open_files=open_files, **{"KILN_LISTEN": "127.0.0.1:0"} | variables)
    try:
        gateway.find_ports()
        yield gateway
    finally:
        gateway.end()


@contextlib.contextmanager
def ready_gateway(system, *, open_files=None, **variables):
    """One more gateway that has found Kafka and Postgres and read the request topic."""
    with second_gateway(system, open_files=open_files, **variables) as gateway:
        gateway.wait_ready()
        yield gateway


def tree(pid):
    """The process and all its descendants."""
    parents = {}
    for entry in pathlib.Path("/proc").iterdir():
        if entry.name.isdigit():
            with contextlib.suppress(OSError):
                fields = (entry / "stat").read_text(encoding="ascii", errors="replace").rpartition(")")[2].split()
                parents.setdefault(int(fields[1]), []).append(int(entry.name))
    found = [pid]
    for one in found:
        found += parents.get(one, [])
    return found


PTRACE_DETACH, PTRACE_SEIZE, PTRACE_INTERRUPT = 17, 0x4206, 0x4207


def _ptrace(request, tid):
    call = ctypes.CDLL(None, use_errno=True).ptrace
    if call(ctypes.c_long(request), ctypes.c_long(tid), ctypes.c_long(0), ctypes.c_long(0)) < 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))


@contextlib.contextmanager
def held_threads(pid, name):
    """The threads of this name of a process that the tests have started stand still, as in a call that hangs; the others go on."""
    tasks = [task for task in pathlib.Path("/proc", str(pid), "task").iterdir() if (task / "comm").read_text().strip() == name]
    assert tasks, f"no thread is called {name}"
    held = []
    try:
        for tid in (int(task.name) for task in tasks):
            _ptrace(PTRACE_SEIZE, tid)
            _ptrace(PTRACE_INTERRUPT, tid)
            os.waitpid(tid, 0x40000000)  # __WALL: it stands still now
            held.append(tid)
        yield
    finally:
        for tid in held:
            _ptrace(PTRACE_DETACH, tid)


@contextlib.contextmanager
def frozen_tree(pid):
    """SIGSTOP for a process and its descendants, those included that it makes on the way."""
    stopped = []

    def stop_new():
        new = [one for one in tree(pid) if one not in stopped]
        for one in new:
            with contextlib.suppress(ProcessLookupError):
                os.kill(one, signal.SIGSTOP)
        stopped.extend(new)
        return not new

    try:
        wait_for(stop_new, "all processes to be stopped")
        yield
    finally:
        for one in stopped:
            with contextlib.suppress(ProcessLookupError):
                os.kill(one, signal.SIGCONT)
