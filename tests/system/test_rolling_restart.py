"""Every process of Kiln restarted one after the other under load, as an operator does it: two of each, and somebody before the gateways who asks
which is ready."""

import collections
import datetime
import itertools
import json
import os
import shutil
import signal
import threading
import time

import confluent_kafka.admin
import httpx
import psycopg
import pytest
from kiln_testing.agents import Gate, spec
from kiln_testing.client import BrokenContract, Client, slug
from kiln_testing.fleet import Ending, Fleet
from kiln_testing.repositories import git
from kiln_testing.services import free_port, is_ready, migrate
from kiln_testing.streams import EventStream
from kiln_testing.system import free_folder
from kiln_testing.waiting import wait_for
from kiln_testing.webhooks import verified

LOOK_S = 0.1  # between the balancer's looks; KILN_DRAIN_DELAY_MS is longer
RATE = 6  # builds a second
BUSY_S = 0.25  # for a record and a row: a gateway gives Kafka half a second, and a request one
NAP_S = 0.05
HANDLED_S = 30  # a build service may be late with what an executor has said at its end
SLOW_EVERY, SLOW_S = 8, 3  # each so manieth build lasts so long: longer than
DRAIN_S = 1  # what executors let running builds have, which are handed back then
LATE = ("undecidable", "kafka-unavailable", "database-unavailable", "outcome-unknown")  # what a gateway says that had no answer in time
TERMINAL = ("build.completed", "build.failed", "build.cancelled")
# It says who it is, and lasts as long as its prompt says.
AGENT = """
echo "$KILN_BUILD_ID $KILN_ATTEMPT" > {ledger}
read -r seconds || :
echo "$KILN_ATTEMPT" > "$KILN_BUILD_ID.txt"
sleep "$seconds"
"""


class Machine:
    """How long a record, a row and a nap take that have nothing to do with Kiln. Neither Kafka nor Postgres is restarted here: where they are slow, the
    machine is, and a gateway says 503 after its second, which is no fault of a restart.
    """

    TOPIC = "kiln-test-machine"

    def __init__(self, system):
        brokers = {"bootstrap.servers": system.brokers, "log_level": 0}
        admin = confluent_kafka.admin.AdminClient(brokers)  # its futures live as long as it does
        admin.create_topics([confluent_kafka.admin.NewTopic(self.TOPIC, 1, config={"flush.messages": "1"})])[self.TOPIC].result(60)
        self.producer = confluent_kafka.Producer(brokers | {"linger.ms": 0})
        self.connection = psycopg.connect(system.env["KILN_DATABASE_URL"], autocommit=True)
        self.connection.execute("create table test_machine (n integer)")
        self.slow = []  # (from, to)
        self.error = None
        self.closing = threading.Event()
        self.thread = threading.Thread(target=self._run, daemon=True)
        self.thread.start()

    def _run(self):
        try:
            began = time.time()
            while not self.closing.wait(NAP_S):
                self.producer.produce(self.TOPIC, b"x")
                self.producer.flush(60)
                self.connection.execute("insert into test_machine values (1)")
                if time.time() - began > NAP_S + BUSY_S:
                    self.slow.append((began, time.time()))
                began = time.time()
        except Exception as error:  # pylint: disable=broad-exception-caught
            self.error = error

    def was_slow(self, at):
        """Some time within the two seconds before, in which a request was under way."""
        assert self.error is None, self.error
        return any(begin <= at and end >= at - 2 for begin, end in list(self.slow))

    def close(self):
        self.closing.set()
        self.thread.join(60)
        self.connection.close()


class Balancer:
    """Gives requests in turn to the gateways that said they were ready when it looked last. It repeats nothing."""

    def __init__(self, gateways, token):
        headers = {"Authorization": f"Bearer {token}"}
        self.gateways = {ops: httpx.Client(base_url=url, headers=headers, timeout=20, trust_env=False) for url, ops in gateways}
        self.urls = {ops: url for url, ops in gateways}
        self.ready, self.turn = [*self.gateways], itertools.count()
        self.closing = threading.Event()
        self.thread = threading.Thread(target=self._look, daemon=True)
        self.thread.start()

    def _look(self):
        while not self.closing.wait(LOOK_S):
            self.ready = [ops for ops in self.gateways if is_ready(ops)]

    def _choose(self, ready):
        return ready[next(self.turn) % len(ready)]

    def request(self, method, path, body=None):
        return self.gateways[self._choose(self.ready)].request(method, path, json=body)

    def url(self):
        """Of a gateway that is ready, for a stream, which waits until one is."""
        return self.urls[self._choose(wait_for(lambda: self.ready, "a gateway to be ready"))]

    def close(self):
        self.closing.set()
        self.thread.join(60)
        for client in self.gateways.values():
            client.close()


class Bots:
    """They post builds and read them, each request once; what went wrong is in `failures`. Each second build pushes to a branch of its own."""

    def __init__(self, balancer, project, command, inbox):
        self.balancer, self.project, self.command, self.inbox = balancer, project, command, inbox
        self.tasks, self.pushed, self.failures = [], [], []
        self.late = []  # (when, which, what was told) of requests that no gateway could decide in its time
        self.closing = threading.Event()
        self.threads = [threading.Thread(target=one, daemon=True) for one in (self._post, self._read)]
        for thread in self.threads:
            thread.start()

    def _ask(self, expected, *request):
        try:
            answer = self.balancer.request(*request)
        except ZeroDivisionError:
            self.late.append((time.time(), request[:2], {"type": "nobody was ready"}))
            return None
        except httpx.HTTPError as error:
            self.failures.append((time.time(), request[:2], repr(error)))
            return None
        if answer.status_code == 503 and slug(answer) in LATE:
            self.late.append((time.time(), request[:2], answer.json()))
            return None
        if answer.status_code != expected:
            self.failures.append((time.time(), request[:2], answer.status_code, answer.text))
            return None
        return answer.json()

    def _post(self):
        for number in itertools.count():
            if self.closing.wait(1 / RATE):
                return
            seconds, pushes = SLOW_S if number % SLOW_EVERY < 2 else 0.1, number % 2 == 0
            body = spec(self.command, prompt=str(seconds), branch=f"b-{number}", auto_commit=pushes, auto_push=pushes, callback_url=self.inbox.url)
            accepted = self._ask(202, "POST", f"/projects/{self.project['id']}/builds", body)
            if accepted is not None:
                self.tasks.append(accepted["task_id"])
                self.pushed += [accepted["task_id"]] if pushes else []

    def _read(self):
        while not self.closing.wait(0.02):
            for task in self.tasks[-1:]:
                self._ask(200, "GET", f"/builds/{task}")

    def close(self):
        self.closing.set()
        for thread in self.threads:
            thread.join(60)


class Follower:
    """Reads a stream, at whichever gateway is ready; where it ends it goes on at another one from the last id. `parts`: what each connection had."""

    def __init__(self, balancer, token, path):
        self.balancer, self.token, self.path = balancer, token, path
        self.parts, self.last_id, self.failures = [], None, []
        self.closing = threading.Event()
        self.opened = threading.Event()
        self.thread = threading.Thread(target=self._run, daemon=True)
        self.thread.start()

    def _run(self):
        while not self.closing.is_set() and not self.is_over():
            client = Client(self.balancer.url(), self.token)
            try:
                with EventStream(client, self.path, last_id=self.last_id) as stream:
                    wait_for(lambda s=stream: s.ended or s.last_id is not None, "the stream to begin")
                    self.parts.append(stream.events)
                    self.opened.set()
                    wait_for(lambda s=stream: s.ended or self.closing.is_set(), "the stream's end", 600)
                self.last_id = stream.last_id
            except (httpx.HTTPError, AssertionError, BrokenContract) as error:
                self.failures.append((time.time(), self.path, repr(error)))
                return
            finally:
                client.close()

    def events(self):
        return [event for part in list(self.parts) for event in list(part)]

    def is_over(self):
        events = self.events() if self.path.startswith("/builds/") else []
        return bool(events) and events[-1].type in TERMINAL

    def close(self):
        self.closing.set()
        self.thread.join(60)


class Ledger:
    """Where agents write who they are: a pipe, into which they can write out of the sandbox that shows them its folder."""

    def __init__(self, folder):
        self.folder, self.path = folder, folder / "ledger"
        os.mkfifo(self.path)
        self.path.chmod(0o666)
        self.pipe = open(os.open(self.path, os.O_RDWR), encoding="ascii")  # so that it never ends
        self.lines = []
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self):
        for line in self.pipe:
            build, attempt = line.split()
            self.lines.append((build, int(attempt)))


@pytest.fixture(name="ledger")
def fixture_ledger():
    folder = free_folder("kiln-rolling-")
    yield Ledger(folder)
    shutil.rmtree(folder)


@pytest.fixture(name="fleet")
def fixture_fleet(own_kiln, ledger):
    """Two of each service, the second ones with names and places of their own, and all of them children of ours."""
    fleet = Fleet(own_kiln.system)
    changed = {"KILN_SANDBOX_READABLE": str(ledger.folder), "KILN_DRAIN_TIMEOUT_MS": str(DRAIN_S * 1000)}
    try:
        fleet.adopt_all()
        run = own_kiln.system.folder / "run"
        for kind in ("gateway", "build-service", "executor"):
            first, state = fleet.members[f"{kind}-1"], run / f"{kind}-2"
            state.mkdir(exist_ok=True)
            own_kiln.system.give(state, 0o700)
            first.take_over(KILN_DRAIN_DELAY_MS="2000", **(changed if kind == "executor" else {}))  # the machine may be busy
            fleet.another(first, f"{kind}-2", KILN_LISTEN=f"127.0.0.1:{free_port()}", KILN_OPS_PORT=str(free_port()), KILN_STATE_DIR=str(state)).start()
        fleet.members["notifier"].take_over()
        yield fleet
    finally:
        fleet.close()


def ops_of(member):
    return f"http://127.0.0.1:{member.environment['KILN_OPS_PORT']}"


def restart(member):
    """(when it was told to end, when it was ready again)."""
    began = time.time()
    assert member.end(signal.SIGTERM) == Ending(0, False), member.last_words()
    member.start()
    wait_for(lambda: is_ready(ops_of(member)), f"{member.name} to be ready again")
    return began, time.time()


def handed_back(trail, restarts):
    """The attempts whose agents the end of an executor's patience has ended. Whatever else was lost has never begun."""
    began, found = {item["attempt"] for item in trail if item["type"] == "build.started"}, set()
    for item in trail:
        if item["type"] == "build.attempt_lost" and item["attempt"] in began:
            at = datetime.datetime.fromisoformat(item["time"]).timestamp()
            assert item["data"].get("error", {}).get("class") == "cancelled", item
            assert any(begin + DRAIN_S <= at <= end + HANDLED_S for begin, end in restarts), item
            found.add(item["attempt"])
    return found


def commits_of(kiln, project):
    """build -> the commits of it on any branch."""
    found = collections.defaultdict(list)
    folder = kiln.repository(project).folder
    for line in git("-c", "safe.directory=*", "-C", str(folder), "log", "--branches", "--format=%H %(trailers:key=Kiln-Build,valueonly,separator=%x2C)").splitlines():
        sha, *build = line.split()
        for name in build:
            found[name].append(sha)
    return found


def follow(*stream):
    follower = Follower(*stream)
    assert follower.opened.wait(120), follower.failures
    return follower


def numbers(events):
    return [(event.json["build_id"], event.json["sequence"]) for event in events if "build_id" in event.json]


@pytest.mark.timeout(840)  # seven restarts and two hundred builds, on a busy machine
def test_restarting_everything_one_by_one_fails_no_request_and_loses_and_repeats_no_build(own_kiln, fleet, ledger):
    kiln, (project, _) = own_kiln, own_kiln.seeded()
    names = ("gateway-1", "gateway-2", "build-service-1", "build-service-2", "executor-1", "executor-2", "notifier")
    members = [fleet.members[name] for name in names]
    for member in members:
        wait_for(lambda one=member: is_ready(ops_of(one)), f"{member.name} to be ready")
    token, inbox = kiln.system.env["KILN_TOKEN"], kiln.receiver.inbox()
    gateways = [(f"http://{member.environment['KILN_LISTEN']}", ops_of(member)) for member in members[:2]]
    balancer = Balancer(gateways, token)
    feed = follow(balancer, token, f"/projects/{project['id']}/events")
    # One lasts from the beginning to the end, and is handed back by whoever has it.
    gate = Gate(kiln)
    long = kiln.post(project, spec(kiln.agents.write(AGENT.format(ledger=ledger.path) + gate.script), prompt="0.1", callback_url=inbox.url))
    kiln.wait_phase(long, "agent")
    stream = follow(balancer, token, f"/builds/{long}/events")
    machine = Machine(kiln.system)
    bots = Bots(balancer, project, kiln.agents.write(AGENT.format(ledger=ledger.path)), inbox)
    restarts = {}
    try:
        wait_for(lambda: len(bots.tasks) >= RATE, "the load to have begun")
        for member in members:
            restarts[member.name] = restart(member)
            accepted = len(bots.tasks)
            wait_for(lambda least=accepted + RATE: len(bots.tasks) >= least, "the load to go on")
        gate.open()
        bots.close()
        unknown = [told["task_id"] for _, _, told in bots.late if told.get("outcome") == "unknown" and "task_id" in told]
        tasks = [long, *bots.tasks, *(task for task in unknown if kiln.api.get(f"/builds/{task}", expect=(200, 404)).status_code == 200)]
        ended = {task: kiln.wait_end(task) for task in tasks}
        trails = {task: kiln.trail(task) for task in tasks}
        expected = {(task, item["sequence"]) for task in tasks for item in trails[task]}
        wait_for(lambda: expected <= set(numbers(feed.events())), "the feed to have everything", 60)
        wait_for(stream.is_over, "the stream to have the end", 60)
        wait_for(lambda: len(inbox.deliveries) >= len(tasks), "a webhook of each build", 60)
    finally:
        bots.close()
        feed.close()
        stream.close()
        balancer.close()
        machine.close()
    # Nothing failed.
    assert bots.failures == feed.failures == stream.failures == []
    assert [one for one in bots.late if not machine.was_slow(one[0])] == [], restarts
    assert {build["status"] for build in ended.values()} == {"completed"}
    # Nothing was lost.
    assert len(set(tasks)) == len(tasks) == kiln.system.sql("select count(*) from build_audit where project_id = %s", project["id"])[0][0]
    assert json.loads(migrate(kiln.system, "verify-audit")[0])["ok"]
    # No agent ran twice, but those of builds that an executor had to hand back; no build published twice.
    back = {task: handed_back(trails[task], [restarts["executor-1"], restarts["executor-2"]]) for task in tasks}
    assert back[long], "nothing was handed back"
    ran = collections.Counter(ledger.lines)
    assert set(ran.values()) == {1} and {task for task, _ in ran} == set(tasks)
    assert [line for line in ran if line[1] != ended[line[0]]["attempt"] and line[1] not in back[line[0]]] == []
    assert {build["attempts_used"] for build in ended.values()} == {1}
    assert commits_of(kiln, project) == {task: [build["result"]["commit_sha"]] for task, build in ended.items() if build["result"]["commit_sha"] is not None}
    assert {task for task in bots.pushed if ended[task]["result"]["commit_sha"] is None} == set()
    # Readers missed nothing. A build's stream repeats nothing, a feed what is on Kafka twice (a relay that ended before it had heard of it), and it
    # may repeat when it is opened again.
    assert set(numbers(feed.events())) == expected
    on_kafka = collections.Counter((record.build_id, record.data["sequence"]) for task in tasks for record in kiln.tap.of(task, "kiln.build.events"))
    assert all(collections.Counter(numbers(part)) <= on_kafka for part in feed.parts)
    assert [int(event.id) for event in stream.events()] == [item["sequence"] for item in trails[long]]
    # Each end was told once.
    assert sorted(verified(delivery, project["webhook_secret"])["data"]["build_id"] for delivery in inbox.deliveries) == sorted(tasks)
    assert len({delivery.headers["webhook-id"] for delivery in inbox.deliveries}) == len(tasks)
