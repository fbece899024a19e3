"""The disk of Postgres or of Kafka is full while builds run: told honestly, nobody spins, and everything goes on when there is room again."""

import random
import uuid

import psycopg
import pytest
from kiln_testing import disks
from kiln_testing.agents import Gate, spec
from kiln_testing.client import slug
from kiln_testing.services import cpu_seconds, is_gone, migrate
from kiln_testing.waiting import stays, wait_for

SERVICES = {"GATEWAY": "gateway", "BUILD_SERVICE": "build-service", "NOTIFIER": "notifier", "EXECUTOR": "executor-1"}
NO_SPACE = "No space left on device"
WATCHED_S = 3
# The build service says four to six lines a second when there is no Postgres, and takes a hundredth of a processor.
LINES = 10 * WATCHED_S
BUSY_S = 0.25 * WATCHED_S


@pytest.fixture(scope="module", name="server_disks")
def server_disks_fixture(own_system):
    """{name: folder}; they are small, and there until the system's end."""
    found = {name: disks.move_data(own_system, name, size) for name, size in (("POSTGRES", "192m"), ("KAFKA", "96m"))}
    own_system.up()
    return found


class Story:
    """Builds before, in and after a bad time of one project, and what must be true of all of them at its end."""

    def __init__(self, kiln):
        self.kiln = kiln
        self.project, self.repository = kiln.seeded()
        self.path = f"/projects/{self.project['id']}/builds"
        self.inbox = kiln.receiver.inbox()
        self.pids = self._pids()
        self.gate = Gate(kiln)
        self.command = kiln.agents.write(f"{self.gate.script}\ntouch $(head -c 8 /dev/urandom | od -An -tx1 | tr -d ' ')")
        self.accepted = set()
        self.lost = []  # attempts
        self.unknown = {}  # key: (body, task), of those that may or may not be builds

    def _pids(self):
        return {name: self.kiln.system.attach().pids(name) for name in SERVICES}

    def post(self, expect=(202, 503)):
        """One more build; the gateway's answer. Its prompt is large, also when compressed."""
        body = spec(self.command, prompt=random.randbytes(100_000).hex(), auto_commit=True, auto_push=True, callback_url=self.inbox.url)
        key = str(uuid.uuid4())
        answer = self.kiln.api.post(self.path, body, headers={"Idempotency-Key": key}, expect=expect)
        if answer.status_code == 202:
            self.accepted.add(answer.json()["task_id"])
        elif slug(answer) == "outcome-unknown":
            self.unknown[key] = (body, answer.json()["task_id"])
        return answer

    def begin(self, count=2):
        """Builds whose agents are at work; the last one."""
        for _ in range(count):
            task = self.post(expect=202).json()["task_id"]
            self.kiln.wait_phase(task, "agent")
        return task

    def finish(self):
        """All builds end once, and as if nothing had been."""
        for key, (body, task) in self.unknown.items():
            answer = self.kiln.api.post(self.path, body, headers={"Idempotency-Key": key}, expect=202)
            assert answer.json()["task_id"] == task
            self.accepted.add(task)
        self.gate.open()
        for task in self.accepted:
            build = self.kiln.wait_end(task)
            assert build["status"] == "completed", build["result"]["error"]
            self.lost += self.kiln.tap.of(task, type="build.attempt_lost")
        assert {build["task_id"] for build in self.kiln.api.pages(self.path)} == self.accepted
        with self.repository.clone() as clone:
            for task in self.accepted:
                assert len(clone.commits_of(task)) == 1
        wait_for(lambda: len({delivery.headers["webhook-id"] for delivery in self.inbox.deliveries}) == len(self.accepted), "the webhooks")
        assert self.kiln.system.sql("select count(*) from dead_letters") == [(0,)]
        migrate(self.kiln.system, "verify-audit")
        assert self.pids == self._pids()

    def watch(self):
        """The services live, and neither talk nor work much."""
        system, pids = self.kiln.system, [pid for pids in self.pids.values() for pid in pids]

        def measure():
            logged = {name: system.log(log).count("\n") for name, log in SERVICES.items()}
            return logged, {name: sum(map(cpu_seconds, self.pids[name])) for name in SERVICES}

        lines, seconds = measure()
        stays(lambda: not any(map(is_gone, pids)), "the services' lives", WATCHED_S)
        more_lines, more_seconds = measure()
        for name in SERVICES:
            assert more_lines[name] - lines[name] <= LINES, system.log(SERVICES[name])[-4000:]
            assert more_seconds[name] - seconds[name] <= BUSY_S, name


def switch_wal(system):
    """Begins a new file of the write-ahead log, which takes 16 MiB of the disk."""
    password = (system.folder / "secrets" / "postgres-superuser").read_text(encoding="ascii").strip()
    server = system.env["KILN_DATABASE_URL"].rpartition("@")[2]
    with psycopg.connect(f"postgresql://postgres:{password}@{server}", autocommit=True) as connection:
        connection.execute("select pg_logical_emit_message(false, 'kiln-test', ''), pg_switch_wal()")


def miss_room(story):
    """Posts builds until the build service cannot write them down."""
    log = story.kiln.system.folder / "log" / "postgres.log"
    before = log.stat().st_size

    def missed():
        story.post(expect=202)
        return NO_SPACE.encode() in log.read_bytes()[before:]

    wait_for(missed, "Postgres to miss room", poll=0.5)


def test_builds_are_accepted_while_postgres_can_write_no_row_and_go_on_when_it_can(own_kiln, server_disks):
    switch_wal(own_kiln.system)  # so that it is rows that do not fit
    story = Story(own_kiln)
    task = story.begin()
    with disks.full(server_disks["POSTGRES"]):
        miss_room(story)
        refused = own_kiln.api.post("/templates", {"name": own_kiln.name("t"), "text": random.randbytes(120_000).hex()})
        assert (refused.status_code, slug(refused)) == (503, "database-unavailable")
        assert own_kiln.build(task)["status"] == "running"
        story.watch()
    story.finish()
    assert not story.lost


def test_builds_are_accepted_while_postgres_has_crashed_for_want_of_room_and_go_on_when_it_is_there_again(own_kiln, server_disks):
    system = own_kiln.system
    story = Story(own_kiln)
    story.begin()
    with disks.full(server_disks["POSTGRES"]):
        miss_room(story)

        def crashed():
            """Its recovery may do without a new file of the log, but then nobody can connect."""
            try:
                switch_wal(system)
            except psycopg.OperationalError as error:
                return "could not write init file" in str(error) or all(map(is_gone, system.pids("POSTGRES")))
            return False

        wait_for(crashed, "Postgres to give up")
        story.post(expect=202)
        story.watch()
    system.up()
    story.finish()
    assert not story.lost


def test_builds_are_refused_while_kafkas_disk_is_full_and_those_accepted_go_on_when_it_is_started_again(own_kiln, server_disks):
    system = own_kiln.system
    story = Story(own_kiln)
    task = story.begin()
    with disks.full(server_disks["KAFKA"]):
        wait_for(lambda: story.post().status_code == 503 and all(map(is_gone, system.pids("KAFKA"))), "Kafka to give up")
        assert slug(story.post(expect=503)) in ("kafka-unavailable", "outcome-unknown")
        assert own_kiln.build(task)["status"] == "running"
        story.watch()
    system.up()
    story.finish()
