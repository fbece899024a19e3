"""A Kiln system for tests: started, changed and ended by ./dev, in a folder of its own."""

import contextlib
import os
import pathlib
import pwd
import re
import shlex
import shutil
import signal
import subprocess
import tempfile
import uuid

import psycopg

from . import disks, places
from .process import end, spawn
from .services import is_ready
from .waiting import wait_for


def own_environment():
    """Ours for a ./dev of its own: without a surrounding system, whose Kafka and database it would use."""
    kept = ("KILN_CACHE_DIR", "KILN_KAFKA_JVM_FLAGS")
    return {name: value for name, value in os.environ.items() if not name.startswith("KILN_") or name in kept}


def dev(folder, *arguments, env=None, stdin="", timeout=600):
    """./dev on the system in this folder, whatever comes of it."""
    return subprocess.run(
        [str(places.DEV), *arguments],
        env=own_environment() | {"KILN_DEV_DIR": str(folder), **(env or {})},
        input=stdin,
        capture_output=True,
        text=True,
        timeout=timeout,
        check=False,
    )


def _dev(folder, *arguments, env=None):
    done = dev(folder, *arguments, env=env)
    assert done.returncode == 0, f"./dev {' '.join(arguments)} failed:\n{done.stdout[-4000:]}{done.stderr[-4000:]}"


def states(status):
    """What `./dev status` says of everybody, by name."""
    return dict(re.findall(r"^(\S+) +(?:\d+|-)  (up|down|none|not ready)\b", status.stdout, re.M))


def read_env(path):
    """The variables of an env file, by the shell's own rules."""
    found = {}
    for line in pathlib.Path(path).read_text(encoding="utf-8").splitlines():
        words = shlex.split(line, comments=True)
        if len(words) == 2 and words[0] == "export":
            name, _, value = words[1].partition("=")
            found[name] = value
    return found


def is_stopped(pid):
    """All of its threads. One that ends meanwhile does not stand still yet."""
    try:
        stats = _stats(pid)
    except OSError:
        return False
    return all(stat.rpartition(")")[2].split()[0] == "T" for stat in stats)


def _stats(pid):
    return [path.read_text(encoding="utf-8", errors="replace") for path in pathlib.Path("/proc", str(pid), "task").glob("*/stat")]


def free_folder(prefix):
    """A new folder that the run user may enter. What killed tests have left of this kind goes: a name tells whose it is."""
    place = pathlib.Path(os.environ.get("KILN_TEST_TMP", "/tmp"))
    for old in place.glob(f"{prefix}[0-9]*-*"):
        pid = old.name.removeprefix(prefix).partition("-")[0]
        if pid.isdigit() and not pathlib.Path("/proc", pid).exists():
            with contextlib.suppress(AssertionError, OSError):  # somebody else is at it
                System(old).down()
    folder = pathlib.Path(tempfile.mkdtemp(prefix=f"{prefix}{os.getpid()}-", dir=place))
    folder.chmod(0o755)
    return folder


class System:
    """One running system. `env` is its .dev/env, read anew after each `up`."""

    def __init__(self, folder):
        self.folder = pathlib.Path(folder)
        self.env = {}
        self.started_with = {}
        self.touched = False  # somebody may not be ready any more

    def up(self, *options, env=None):
        """Starts what does not run; safe to repeat: also the repair after a kill."""
        if env is not None:
            self.started_with = env
        _dev(self.folder, "up", "--no-build", "--preset", places.PRESET, *options, env=self.started_with)
        return self.attach()

    def attach(self):
        self.env = read_env(self.folder / "env")
        return self

    def down(self, clean=True):
        if (self.folder / "pid").exists():
            _dev(self.folder, "down")
            if clean:
                for disk in disks.mounted_below(self.folder, self.folder / "run"):
                    disks.unmount(disk)
                _dev(self.folder, "down", "--clean")
        if clean:
            shutil.rmtree(self.folder, ignore_errors=True)

    @property
    def run(self):
        """Where its servers and services keep what is theirs."""
        return pathlib.Path(self.env["KILN_STATE_DIR"]).parent

    @property
    def url(self):
        return self.env["KILN_URL"]

    @property
    def brokers(self):
        return self.env["KILN_KAFKA_BROKERS"]

    def pids(self, name):
        """Of GATEWAY, BUILD_SERVICE, NOTIFIER, EXECUTOR, KAFKA or POSTGRES."""
        return [int(pid) for pid in self.env[f"KILN_PID_{name}"].split()]

    def is_whole(self):
        """All of its processes are there."""
        names = ("GATEWAY", "BUILD_SERVICE", "NOTIFIER", "EXECUTOR", "KAFKA", "POSTGRES")
        return all(pathlib.Path("/proc", str(pid)).exists() for name in names for pid in self.pids(name))

    def is_ready(self):
        """Every service says so."""
        urls = " ".join(self.env[f"KILN_OPS_{name}"] for name in ("GATEWAY", "BUILD_SERVICE", "NOTIFIER", "EXECUTOR")).split()
        return all(is_ready(url) for url in urls)

    def repair(self):
        """Whole and ready again, after what a test has done to it."""
        if not self.is_whole():
            self.up()
        elif self.touched:  # each answer may wait for Kafka's, and there are ten
            wait_for(self.is_ready, "everybody to be ready again")
        self.touched = False

    def signal(self, name, number):
        self.touched = True
        for pid in self.pids(name):
            os.kill(pid, number)

    @contextlib.contextmanager
    def frozen(self, name):
        """SIGSTOP for the time of the block: away, without a word."""
        self.signal(name, signal.SIGSTOP)
        # Threads stop one by one, as they come to run: until then one of them may still answer.
        wait_for(lambda: all(map(is_stopped, self.pids(name))), f"{name} to stand still")
        try:
            yield
        finally:
            self.signal(name, signal.SIGCONT)

    def log(self, name):
        """What a daemon has written, by the name of its log."""
        return (self.folder / "log" / f"{name}.log").read_text(encoding="utf-8", errors="replace")

    def sql(self, statement, *arguments):
        """Rows of one statement, as the owner of the database."""
        with psycopg.connect(self.env["KILN_DATABASE_URL"], autocommit=True) as connection:
            cursor = connection.execute(statement, arguments)
            return cursor.fetchall() if cursor.description else []

    @contextlib.contextmanager
    def locked(self, table, mode="access exclusive"):
        """Statements that need the table take too long, in a Postgres that is there; "share": those that write to it."""
        with psycopg.connect(self.env["KILN_DATABASE_URL"]) as connection:
            connection.execute(f"lock table {table} in {mode} mode")
            yield
            connection.rollback()

    # -- the run user

    @property
    def run_user(self):
        return pwd.getpwnam(self.env["KILN_RUN_USER"])

    def give(self, path, mode=None):
        """A file or folder to the run user."""
        if mode is not None:
            os.chmod(path, mode)
        if os.geteuid() == 0:
            os.chown(path, self.run_user.pw_uid, self.run_user.pw_gid)

    def as_run_user(self):
        if os.geteuid() != 0:
            return {}
        return {"user": self.run_user.pw_uid, "group": self.run_user.pw_gid, "extra_groups": []}

    @contextlib.contextmanager
    def executor(self, slots=1, labels=(), state=None, **variables):
        """One more executor, ready; ended (and its agents with it) at the end of the block."""
        executor = Executor(self, slots, labels, state, variables)
        try:
            yield executor.start()
        finally:
            executor.kill(signal.SIGTERM)
            if state is None:
                shutil.rmtree(executor.state, ignore_errors=True)


class Executor:
    """An executor that a test starts, kills and starts again."""

    def __init__(self, system, slots, labels, state, variables):
        self.system = system
        self.state = pathlib.Path(state) if state else system.run / f"executor-test-{uuid.uuid4().hex[:12]}"
        self.state.mkdir(exist_ok=True)
        self.worker_id = variables.setdefault("KILN_WORKER_ID", str(uuid.uuid4()))
        system.give(self.state, 0o700)
        self.env = {name: value for name, value in system.env.items() if not name.startswith("KILN_PID_")}
        for name in ("KILN_DATABASE_URL", "KILN_TOKEN", "KILN_DEV_ENV"):
            self.env.pop(name, None)
        self.env |= {
            "PATH": "/usr/local/bin:/usr/bin:/bin",
            "HOME": str(self.state),
            "LANG": "C.UTF-8",
            "KILN_STATE_DIR": str(self.state),
            "KILN_OPS_PORT": "0",
            "KILN_SLOTS": str(slots),
            "KILN_LABELS": ",".join(labels),
            **variables,
        }
        self.process = None

    @property
    def log_path(self):
        return self.system.folder / "log" / f"{self.state.name}.log"

    def start(self, wait=True):
        program = pathlib.Path(self.system.env["KILN_BIN"]) / "kiln-executor"
        seen = self._hellos()
        self.process = spawn(self.system, [program], self.env, self.log_path, cwd=self.state, orphaned="TERM")  # it ends its agents
        if wait:
            # It asks its agents' programs for their versions first, which are large.
            wait_for(lambda: self._alive() and self._hellos() > seen, f"executor {self.state.name} to say hello", 300)
        return self

    def _alive(self):
        if self.process.poll() is not None:
            raise RuntimeError(f"the executor has ended: {self.log_path.read_text(errors='replace')[-2000:]}")
        return True

    def _hellos(self):
        """How often the build service has applied a hello of this worker."""
        rows = self.system.sql("select incarnation from workers where id = %s and state = 'active'", self.worker_id)
        return rows[0][0] if rows else 0

    def kill(self, number=signal.SIGKILL, deadline=120.0):
        if self.process is None or self.process.poll() is not None:
            return
        end(self.process, number, deadline)
