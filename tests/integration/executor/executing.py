"""kiln-executor as a process, and a build service that assigns to it over the real topics and watches what it says."""
import contextlib
import hashlib
import json
import os
import pathlib
import secrets
import shutil
import signal
import subprocess
import threading
import time
import uuid

import confluent_kafka

from databases import BIN
from kiln_testing import cloudevents
from kiln_testing.agents import Agents as AgentFolder, processes_with
from kiln_testing.cloudevents import now
from kiln_testing.process import Process, end
from kiln_testing.records import Judge, Record
from kiln_testing.repositories import EMPTY_ENV, Repository
from kiln_testing.system import free_folder
from kiln_testing.waiting import wait_for

ASSIGNMENTS, RESULTS, WORKER_EVENTS, LOGS = "kiln.build.assignments", "kiln.build.results", "kiln.worker.events", "kiln.build.logs"
READ = (RESULTS, WORKER_EVENTS, LOGS)
# A hook that cuts a push off behind its update. A post-receive hook runs when the client has the report already.
LOSES_ITS_ANSWER = ("reference-transaction", "cat >/dev/null; [ $1 != committed ] || kill -9 $PPID\n")


def waiting(place, then):
    """An agent that goes on when the test says so."""
    return f"cat >/dev/null; while [ ! -e {place}/go ]; do sleep 0.02; done; {then}"


class GitSite:
    """Credentials and repositories on the git server of `./dev up --infra`."""

    def __init__(self, system, folder):
        self.system = system
        self.url = system.env["KILN_GIT_URL"]
        self.credentials_dir = free_folder("kiln-test-credentials-")
        self.credential("local", url_prefix=self.url, username="kiln", token=system.env["KILN_GIT_TOKEN"])
        self.folder = folder

    def credential(self, name, **fields):
        (self.credentials_dir / f"{name}.json").write_text(json.dumps(fields), encoding="utf-8")
        return name

    def repository(self, seed=True, **files):
        repository = Repository(self.system, f"r-{uuid.uuid4().hex[:10]}")
        if seed:
            repository.seed(files or {"README.md": "# Test\n", "src/a.txt": "one\ntwo\nthree\n"})
        return repository


    def server_git(self, repository, *arguments):
        """Git on the server's own repository, as the server's user."""
        done = subprocess.run(
            ["git", *arguments], cwd=repository.folder, env=EMPTY_ENV, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60, check=True,
            **self.system.as_run_user(),
        )  # fmt: skip
        return done.stdout


class Agents(AgentFolder):
    def __init__(self, system, site):
        super().__init__(system)
        self.folder = free_folder("kiln-test-agents-")
        site.agents_dir = self.folder


class BuildService:
    """Reads everything that executors say; keeps it by build and by worker."""

    def __init__(self, brokers):
        self.brokers = brokers
        self.producer = confluent_kafka.Producer({"bootstrap.servers": brokers, "partitioner": "murmur2_random", "linger.ms": 0})
        self.consumer = confluent_kafka.Consumer(
            {"bootstrap.servers": brokers, "group.id": f"test-{uuid.uuid4()}", "enable.auto.commit": False, "auto.offset.reset": "error"}
        )
        metadata = self.consumer.list_topics(timeout=60)
        partitions = {topic: len(metadata.topics[topic].partitions) for topic in (*READ, ASSIGNMENTS)}
        self.judge = Judge(partitions)
        positions = []
        for topic in READ:
            for partition in range(partitions[topic]):
                where = confluent_kafka.TopicPartition(topic, partition)
                where.offset = wait_for(lambda where=where: [self._end(where)], "the topics to have leaders")[0]
                positions.append(where)
        self.consumer.assign(positions)
        self.lock = threading.Condition()
        self.records = []
        self.stopping = False
        self.thread = threading.Thread(target=self._read, daemon=True)
        self.thread.start()

    def _end(self, where):
        try:
            return self.consumer.get_watermark_offsets(where, timeout=60)[1]
        except confluent_kafka.KafkaException as error:  # they were just made
            raise AssertionError(str(error)) from error

    def _read(self):
        while not self.stopping:
            message = self.consumer.poll(0.1)
            if message is None or message.error():
                continue
            record = Record(message)
            record.seen = time.monotonic()
            with self.lock:
                self.judge.see(record)
                self.records.append(record)
                self.lock.notify_all()

    def send(self, kind, data, **more_headers):
        """Where it lies: the offset in the executor's partition."""
        key = data["worker_id"]
        headers = cloudevents.headers(kind, "/kiln/build-service", key, **more_headers)
        sent = []
        self.producer.produce(
            ASSIGNMENTS, value=json.dumps(data).encode(), key=key, headers=headers, on_delivery=lambda error, message: sent.append((error, message))
        )
        assert self.producer.flush(60) == 0
        [(error, message)] = sent
        assert error is None, error
        return message.offset()

    def seen(self, **wanted):
        """Records whose data has these fields; `type` is the record's."""
        kind = wanted.pop("type", None)
        with self.lock:
            return [r for r in self.records if (kind is None or r.type == kind) and r.data and all(r.data.get(k) == v for k, v in wanted.items())]

    def wait(self, deadline=120.0, count=1, **wanted):
        wait_for(lambda: len(self.seen(**wanted)) >= count, f"record with {wanted}", deadline=deadline)
        return self.seen(**wanted)[count - 1]

    def close(self):
        self.stopping = True
        self.thread.join()
        self.consumer.close()


class Attempt:
    """One assignment, and what the executor says about it."""

    def __init__(self, executor, build_id=None, attempt=1, **data):
        self.executor = executor
        self.service = executor.service
        self.token = {"build_id": build_id or str(uuid.uuid4()), "attempt": attempt, "lease_id": str(uuid.uuid4())}
        self.data = {**executor.addressee(), **self.token, **data}
        self.trace_id = secrets.token_hex(16)
        self.traceparent = f"00-{self.trace_id}-{secrets.token_hex(8)}-01"
        self.sent_at = self.offset = None

    @property
    def build_id(self):
        return self.token["build_id"]

    def assign(self):
        self.sent_at = time.monotonic()
        self.offset = self.service.send("attempt.assign", self.data, traceparent=self.traceparent)
        return self

    def command(self, kind, **more):
        """Its place."""
        return self.service.send(kind, {**self.executor.addressee(), **self.token, **more})

    def cancel(self):
        return self.command("attempt.cancel")

    def release(self, last=True):
        self.command("attempt.released", last=last)

    def wait(self, kind, deadline=120.0, **more):
        try:
            return self.service.wait(type=kind, deadline=deadline, **self.token, **more)
        except AssertionError as error:
            raise AssertionError(f"{error}\n{self.executor.log()[-3000:]}") from error

    def phase(self, phase, deadline=120.0):
        return self.wait("attempt.phase", deadline, phase=phase)

    def finished(self, deadline=120.0):
        return self.wait("attempt.finished", deadline).data

    def phases(self):
        return [record.data["phase"] for record in self.service.seen(type="attempt.phase", **self.token)]

    def lines(self, stream=None):
        """The log's lines in order, by their numbers."""
        found = {}
        for record in self.service.seen(type="build.log", **self.token):
            for index, line in enumerate(record.data["lines"]):
                found[record.data["first_line"] + index] = line
        assert sorted(found) == list(range(1, len(found) + 1)), f"line numbers {sorted(found)[:20]}"
        return [found[n]["text"] for n in sorted(found) if stream in (None, found[n]["stream"])]

    def wait_lines(self, expected, stream="stdout"):
        """Lines have a topic of their own: what was said before the end may be seen after it."""
        wait_for(lambda: self.lines(stream) == expected, f"the lines {expected}, of which {self.lines(stream)} came")

    def wait_found(self):
        """The log says that the attempt has found its commit on the branch, rather than been told so by its push."""
        wait_for(lambda: any("of this build is on main already" in line for line in self.lines("kiln")), "the log to say that it was found")

    def processes(self):
        return processes_with(self.token["lease_id"])

    def aside(self):
        """Pids of what the attempt has forked for work that it may have to kill."""
        return [pid for pid in pids_named("kiln-aside") if any(self.token["lease_id"] in name for name in open_files(pid))]


def pids_named(name):
    for entry in pathlib.Path("/proc").iterdir():
        if entry.name.isdigit():
            with contextlib.suppress(OSError):  # it may have ended
                if (entry / "comm").read_text(encoding="ascii", errors="replace") == f"{name}\n":
                    yield int(entry.name)


def open_files(pid):
    with contextlib.suppress(OSError):  # it may have ended
        for fd in os.listdir(f"/proc/{pid}/fd"):
            with contextlib.suppress(OSError):
                yield os.readlink(f"/proc/{pid}/fd/{fd}")


class Executor(Process):
    orphaned = "TERM"  # it ends its agents

    def __init__(self, system, service, site, slots=2, worker_id=None, state=None, **variables):
        self.service = service
        self.site = site
        self.folder = free_folder("kiln-test-executor-")
        self.state = pathlib.Path(state) if state else self.folder / "state"
        self.state.mkdir(exist_ok=True)
        system.give(self.state, 0o700)
        self.attempts = []
        env = {
            "KILN_STATE_DIR": str(self.state),
            "KILN_SLOTS": str(slots),
            "KILN_SANDBOX": "none",
            "KILN_CREDENTIALS_DIR": str(site.credentials_dir),
            "KILN_COMMAND_AGENTS_DIR": str(site.agents_dir),
            "KILN_GIT_BASE_URL": site.url,
            "KILN_GIT_ALLOW": "127.0.0.0/8",
            **({"KILN_WORKER_ID": worker_id} if worker_id else {}),
            **variables,
        }
        super().__init__(system, BIN / "kiln-executor", self.folder / "log", env)
        self.ready_before = 0
        self.hello = None

    def start(self, wait=True):
        self.ready_before = len(self._ready_lines())
        super().start(wait=False)
        if wait:
            self.wait_hello()
        return self

    def _ready_lines(self):
        return [line for line in self.lines() if line["msg"] == "worker is ready"] if self.log_path.exists() else []

    def wait_hello(self):
        """What it has said of itself since its start. Other suites' executors greet on the same topic: its log tells which it is."""

        def said():
            assert self.process.poll() is None, self.log()
            ready = self._ready_lines()[self.ready_before :]
            return ready and [
                record.data
                for record in self.service.seen(type="worker.hello", worker_id=ready[-1]["worker_id"])
                if str(record.data["incarnation"]["counter"]) == ready[-1]["incarnation"]
            ]

        self.hello = wait_for(said, "a hello")[-1]
        return self.hello

    def addressee(self):
        return {"worker_id": self.hello["worker_id"], "incarnation": self.hello["incarnation"]}

    def attempt(self, repository, command="none", build_id=None, attempt=1, mode="run", git_fields=None, base_sha=None, base_branch=None, earlier=(), settle_end=None, **spec):
        full = {
            "prompt": "Do it.\nAll of it.", "template": None, "variables": {}, "auto_commit": True, "auto_push": True, "callback_url": None,
            "agent": {"provider": "command", "model": None, "command": command, "max_turns": None, "max_tokens": None, "budget_usd": None},
            "branch": None, "commit_message": None, "priority": 5, "labels": [], "timeout_s": 60, "queue_timeout_s": 86400, "max_attempts": 3,
            "artifacts": [], "metadata": {}, "continue_from": None, "wait_for_pipeline": False, "on_red": "none", **spec,
        }  # fmt: skip
        url = repository if isinstance(repository, str) else repository.url
        one = Attempt(
            self, build_id, attempt, mode=mode, project={"id": str(uuid.uuid4()), "name": "demo"}, spec=full,
            git={"url": url, "credential": "local", "create_missing": False, **(git_fields or {})}, base_sha=base_sha, branch=base_branch,
            earlier=list(earlier), settle_end=settle_end, assigned_at=now(),
        )  # fmt: skip
        self.attempts.append(one)
        return one

    def run(self, *arguments, deadline=120.0, **options):
        """Assigns and waits for the end: the data of attempt.finished, and the attempt."""
        one = self.attempt(*arguments, **options).assign()
        finished = one.finished(deadline)
        return finished, one

    def heartbeats(self):
        return [record.data for record in self.service.seen(type="worker.heartbeat", **self.addressee())]

    def next_heartbeat(self, more=1):
        count = len(self.heartbeats()) + more
        return wait_for(lambda: self.heartbeats()[count - 1 :], "a heartbeat")[0]

    def next_heartbeat_behind(self, offset):
        """The first heartbeat of those to come that tells of all that the commands up to this one have done."""
        return wait_for(lambda: (beat := self.next_heartbeat())["read_offset"] > offset and beat, f"the command at {offset} to be read")

    def release_all(self):
        """So that every slot and every listed result is free for the next test."""
        for one in self.attempts:
            one.command("attempt.abandon")
        self.attempts.clear()
        if self.process.poll() is None:
            wait_for(lambda: not self.next_heartbeat()["held"], "the attempts to be gone")

    def children(self):
        found = []
        for entry in pathlib.Path("/proc").iterdir():
            if entry.name.isdigit():
                with contextlib.suppress(OSError):
                    stat = (entry / "stat").read_text(encoding="ascii", errors="replace").rpartition(")")[2].split()
                    if int(stat[1]) == self.process.pid and stat[0] != "Z":
                        found.append(int(entry.name))
        return found

    def children_for(self, mode):
        """Pids of those that were started as `kiln-executor MODE`, without attempts that were forked from one."""
        found = []
        for pid in self.children():
            with contextlib.suppress(OSError):  # it may have ended
                process = pathlib.Path(f"/proc/{pid}")
                if mode.encode() in (process / "cmdline").read_bytes().split(b"\0") and (process / "comm").read_text(encoding="ascii") != "kiln-attempt\n":
                    found.append(pid)
        return found

    def child_of(self, attempt):
        """The pid of the attempt's child: it has the lease's lock open."""
        (child,) = [pid for pid in self.children() if any(attempt.token["lease_id"] in name for name in open_files(pid))]
        return child

    def mirror_of(self, repository):
        url = repository if isinstance(repository, str) else repository.url
        return self.state / "mirrors" / f"{hashlib.sha256(url.encode()).hexdigest()[:32]}.git"

    def leftovers(self):
        """Files that attempts have left in the state directory."""
        return [str(path.relative_to(self.state)) for folder in ("work", "trash", "locks", "results") for path in (self.state / folder).iterdir()]

    def kill(self, number=signal.SIGKILL):
        return end(self.process, number)

    def close(self):
        if self.process is not None and self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        shutil.rmtree(self.folder, ignore_errors=True)


__all__ = ["EMPTY_ENV", "LOSES_ITS_ANSWER", "Agents", "Attempt", "BuildService", "Executor", "GitSite", "now"]
