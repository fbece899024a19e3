"""A running Kiln for a benchmark, with stand-ins for the outside world, and what the machine says about its processes."""
import contextlib
import json
import os
import pathlib
import platform
import selectors
import signal
import subprocess
import sys
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parents[3]
sys.path[:0] = [str(ROOT / "tests" / "support"), str(ROOT / "tests" / "bench" / "lib")]

import httpx  # noqa: E402  pylint: disable=wrong-import-position

from kiln_testing.endings import tidied_by  # noqa: E402  pylint: disable=wrong-import-position
from kiln_testing.fleet import Fleet  # noqa: E402  pylint: disable=wrong-import-position
from kiln_testing.services import free_port, is_gone, ops_get  # noqa: E402  pylint: disable=wrong-import-position
from kiln_testing.system import System, free_folder  # noqa: E402  pylint: disable=wrong-import-position
from kiln_testing.waiting import wait_for  # noqa: E402  pylint: disable=wrong-import-position

BIN = pathlib.Path(os.environ.get("KILN_BIN", ROOT / "build" / "release" / "bin"))
TICK = os.sysconf("SC_CLK_TCK")
COMPILING = 0.1  # cores of the broker's compilers: more, and it still gets ready


def build_tools():
    """The benchmarks' own programs, which are not part of the normal build."""
    if "KILN_BIN" in os.environ and BIN != ROOT / "build" / "release" / "bin":
        return
    lock = ROOT / "build" / "release.lock"  # as ./dev takes it
    subprocess.run(["flock", lock, "cmake", "--build", "--preset", "release", "--target", "kiln_bench", "--", "--quiet"], cwd=ROOT, check=True, stdout=sys.stderr)


def say(text):
    print(text, file=sys.stderr, flush=True)


def use_memory():
    """Systems lie in memory from now on: for what is not about disks, which change from minute to minute."""
    if pathlib.Path("/dev/shm").is_dir():
        os.environ["KILN_TEST_TMP"] = "/dev/shm"


class Tool:
    """One of the stand-ins, running. Its last line on standard output is JSON."""

    def __init__(self, name, *arguments, ready=True):
        self.process = subprocess.Popen(  # pylint: disable=consider-using-with
            [str(BIN / name), *map(str, arguments)], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True
        )
        if ready:
            self._wait_ready(30)

    def _wait_ready(self, seconds):
        with selectors.DefaultSelector() as selector:
            selector.register(self.process.stdout, selectors.EVENT_READ)
            if not selector.select(seconds) or self.process.stdout.readline().strip() != "ready":
                self.process.kill()
                raise RuntimeError(f"{self.process.args[0]} does not get ready")

    @property
    def pid(self):
        return self.process.pid

    def wait(self, seconds):
        """Until it ends by itself."""
        out, _ = self.process.communicate(timeout=seconds)
        if not out.strip():
            raise RuntimeError(f"{self.process.args[0]} ended with status {self.process.returncode} and without a word")
        return json.loads(out.strip().splitlines()[-1])

    def stop(self):
        self.process.send_signal(signal.SIGTERM)
        return self.wait(30)

    def end(self):
        """However far it is; simulated executors say good-bye."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            with contextlib.suppress(subprocess.TimeoutExpired):
                self.process.communicate(timeout=20)
        self.kill()

    def kill(self):
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait(5)


class Rig:
    """A system of its own under a new folder, or (KILN_BENCH_ATTACH=FOLDER, for trying things) one that runs already."""

    def __init__(self, system, scratch):
        self.system = system
        self.scratch = scratch
        self.http = httpx.Client(
            base_url=system.url, headers={"Authorization": f"Bearer {system.env['KILN_TOKEN']}"}, timeout=20, trust_env=False
        )
        self.tools = []

    def tool(self, name, *arguments, ready=True):
        tool = Tool(name, *arguments, ready=ready)
        self.tools.append(tool)
        return tool

    def close(self):
        for tool in self.tools:
            tool.end()
        self.http.close()

    def stop_others(self):
        """All services but the gateway, for good."""
        pids = [pid for name in ("BUILD_SERVICE", "NOTIFIER", "EXECUTOR") for pid in self.system.pids(name)]
        for pid in pids:
            os.kill(pid, signal.SIGTERM)
        wait_for(lambda: all(map(is_gone, pids)), "the other services to end", 60)

    # -- making things

    def project(self, **fields):
        answer = self.http.post("/projects", json={"name": f"bench-{os.urandom(6).hex()}", **fields})
        answer.raise_for_status()
        return answer.json()

    def body(self, name="build", **fields):
        """A file with a spec of about 600 bytes, as a bot would send it."""
        spec = {
            "prompt": "Look at the failing test in tests/test_orders.py, find out why the total is wrong for orders with a discount, "
            "correct the code, and add a test for the case. Keep the change small.",
            "agent": {"provider": "command", "command": "sim"},
            "auto_commit": True,
            "auto_push": True,
            "branch": "main",
            "commit_message": "Correct the total of orders with a discount",
            "labels": ["sim"],
            "timeout_s": 600,
            "metadata": {"ticket": "SHOP-4711", "bot": "release-helper", "thread": "https://chat.example/t/8812"},
            **fields,
        }
        path = self.scratch / f"{name}.json"
        path.write_text(json.dumps({name: value for name, value in spec.items() if value is not None}), encoding="utf-8")
        return path

    def sim(self, workers, slots, job="0", phases=4, record=None, labels=("sim",), drain=False):  # pylint: disable=too-many-arguments
        """Simulated executors, known to the build service; `drain`: at their end they finish what they have."""
        ((before,),) = self.system.sql("select clock_timestamp()")
        arguments = ["--brokers", self.system.brokers, "--workers", workers, "--slots", slots, "--job", job, "--phases", phases]
        for label in labels:
            arguments += ["--label", label]
        if record:
            arguments += ["--record", record]
        if drain:
            arguments += ["--drain"]
        tool = self.tool("kiln-sim-executor", *arguments)
        wait_for(lambda: self.active_workers(before) >= workers, "the simulated workers to be known", 30)
        return tool

    def active_workers(self, since="-infinity"):
        """Those that have said hello since then."""
        return self.system.sql("select count(*) from workers where state = 'active' and hello_at > %s", since)[0][0]

    def load(self, project, body, count, connections=64, rate=None, record=None):
        """POSTs builds, of several projects in turn; not waited for."""
        arguments = ["--port", self.system.url.rpartition(":")[2], "--token", self.system.env["KILN_TOKEN"], "--body", body,
                     "--count", count, "--connections", connections]
        for one in project if isinstance(project, list) else [project]:
            arguments += ["--path", f"/projects/{one['id']}/builds"]
        if rate:
            arguments += ["--rate", rate]
        if record:
            arguments += ["--record", record]
        return self.tool("kiln-bench-load", *arguments, ready=False)

    def warm_up(self, project, body):
        """A Java broker that has just started compiles itself: its first seconds say nothing, whatever they answer."""
        sim = self.sim(4, 128, drain=True)
        for connections in (8, 32, 64):
            self.load(project, body, 2000, connections=connections).wait(120)
        self.wait_until_idle()
        sim.stop()

    def let_broker_compile(self, work):
        """A Java broker compiles what it does much, for half a minute, and that takes up to half a core, of which a probe feels little.

        Calls `work` until the compilers rest; True when they do."""
        def compilers():
            return sum(seconds for pid in self.system.pids("KAFKA") for name, seconds in thread_seconds(pid).items() if "Compiler" in name)
        for _ in range(10):
            before, began = compilers(), time.monotonic()
            work()
            if compilers() - before < COMPILING * (time.monotonic() - began):
                return True
        return False

    def wait_until_idle(self):
        """All builds have ended."""
        wait_for(lambda: self.system.sql("select count(*) from active_builds")[0][0] == 0, "all builds to end", 600, poll=0.2)

    def tap(self, topic, types, record, expect=None):
        arguments = ["--brokers", self.system.brokers, "--topic", topic, "--record", record]
        for kind in types:
            arguments += ["--type", kind]
        if expect:
            arguments += ["--expect", expect]
        return self.tool("kiln-bench-tap", *arguments)

    # -- looking at the processes

    def parts(self):
        """The pids of each service."""
        return {
            "gateway": self.system.pids("GATEWAY"),
            "build-service": self.system.pids("BUILD_SERVICE"),
            "notifier": self.system.pids("NOTIFIER"),
            "executor": self.system.pids("EXECUTOR"),
            "kafka": self.system.pids("KAFKA"),
            "postgres": self.system.pids("POSTGRES"),
        }

    def cpu(self, **more):
        """CPU seconds so far, by part; `more`: other processes by name."""
        parts = self.parts() | {name: [pid] for name, pid in more.items()}
        return {name: sum(tree_seconds(pid) for pid in pids) for name, pids in parts.items() if pids}


@contextlib.contextmanager
def rig(name, *options, **settings):
    """A fresh system of ./dev up OPTIONS whose services have the SETTINGS, ended and removed afterwards, also when a signal ends the benchmark."""
    build_tools()
    attach = os.environ.get("KILN_BENCH_ATTACH")
    system = System(attach) if attach else System(free_folder(f"kiln-bench-{name}-"))
    running = []

    def tidy():
        for one in running:
            one.close()
        if not attach:
            system.down()

    with tempfile.TemporaryDirectory(prefix="kiln-bench-") as scratch, tidied_by(tidy):
        if attach:
            system.attach()
        else:
            say(f"starting a system in {system.folder}")
            system.up(*options, env=settings | ({"KILN_BIN": str(BIN)} if "KILN_BIN" in os.environ else {}))
        running.append(Rig(system, pathlib.Path(scratch)))
        yield running[0]


def owned_partitions(member):
    """How many partitions a build service reads (a member of a fleet); 0 also when it does not answer."""
    answer = ops_get(f"http://127.0.0.1:{member.environment['KILN_OPS_PORT']}", "/metrics")
    lines = answer.text.splitlines() if answer is not None else []
    return next((float(line.split()[1]) for line in lines if line.startswith("kiln_inbox_owned_partitions ")), 0)


@contextlib.contextmanager
def build_services(system, count):
    """So many build services, each with its share of the partitions; at the end of more than one all are killed."""
    if count == 1:
        yield
        return
    fleet = Fleet(system)
    try:
        first = fleet.adopt("build-service-1", *system.pids("BUILD_SERVICE"))
        everything = wait_for(lambda: owned_partitions(first), "the build service to have its partitions", 60)
        for number in range(2, count + 1):
            fleet.another(first, f"build-service-{number}", KILN_OPS_PORT=str(free_port())).start()

        def shared():
            shares = [owned_partitions(member) for member in fleet.of("build-service")]
            return min(shares) > 0 and sum(shares) == everything
        wait_for(shared, "all instances to have their partitions", 60)
        yield
        dead = [member.name for member in fleet.of("build-service") if member.is_dead()]
        assert not dead, f"ended meanwhile: {dead}"
    finally:
        fleet.close()


def stat_seconds(path, with_children=False):
    fields = pathlib.Path(path, "stat").read_text(encoding="ascii", errors="replace").rpartition(")")[2].split()
    return sum(int(ticks) for ticks in fields[11 : 15 if with_children else 13]) / TICK


def children(pid):
    with contextlib.suppress(OSError):
        return [int(child) for task in pathlib.Path("/proc", str(pid), "task").iterdir() for child in (task / "children").read_text().split()]
    return []


def tree_seconds(pid):
    """CPU of a process and its descendants, those included that have ended."""
    total = 0.0
    with contextlib.suppress(OSError):
        total = stat_seconds(f"/proc/{pid}", with_children=True)
        total += sum(tree_seconds(child) for child in children(pid))
    return total


def thread_seconds(pid):
    """{thread name: CPU seconds}; threads of one name together."""
    found = {}
    for task in pathlib.Path("/proc", str(pid), "task").iterdir():
        with contextlib.suppress(OSError):
            name = (task / "comm").read_text(encoding="ascii", errors="replace").strip()
            found[name] = found.get(name, 0.0) + stat_seconds(task)
    return found


def memory(pid):
    """PSS and anonymous memory in KiB."""
    found = {}
    for line in pathlib.Path("/proc", str(pid), "smaps_rollup").read_text(encoding="ascii").splitlines()[1:]:
        name, _, value = line.partition(":")
        found[name] = int(value.split()[0])
    return {"pss": found["Pss"], "anonymous": found["Anonymous"]}


def busy_cores(seconds=2.0):
    """How many cores others keep busy now: figures taken meanwhile are not final."""
    def busy():
        fields = [int(n) for n in pathlib.Path("/proc/stat").read_text(encoding="ascii").splitlines()[0].split()[1:9]]
        return sum(fields) - fields[3] - fields[4]
    before = busy()
    time.sleep(seconds)
    return (busy() - before) / TICK / seconds


def machine():
    model = next((line.partition(":")[2].strip() for line in pathlib.Path("/proc/cpuinfo").read_text().splitlines() if "model name" in line), "?")
    memory_kib = int(pathlib.Path("/proc/meminfo").read_text().split()[1])
    return f"{os.cpu_count()} x {model}, {memory_kib / 2**20:.0f} GiB, Linux {platform.release()}"


def read_record(path):
    """{build id: [the other columns]} of a stand-in's record."""
    found = {}
    with pathlib.Path(path).open(encoding="ascii") as file:
        for line in file:
            if line.endswith("\n"):
                name, *values = line.split()
                found.setdefault(name, values)
    return found
