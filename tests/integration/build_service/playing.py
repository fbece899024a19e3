"""kiln-build-service as a process, and a gateway and workers that speak to it over the real topics."""
import json
import secrets
import threading
import time
import uuid

import confluent_kafka
import psycopg

from databases import BIN, PASSWORDS
from kiln_testing import cloudevents
from kiln_testing.applied import wait_applied
from kiln_testing.cloudevents import now
from kiln_testing.process import Process
from kiln_testing.records import Record, partition_of
from kiln_testing.waiting import TooLate, wait_for

REQUESTS, ASSIGNMENTS, RESULTS = "kiln.build.requests", "kiln.build.assignments", "kiln.build.results"
WORKER_EVENTS, EVENTS, LOGS = "kiln.worker.events", "kiln.build.events", "kiln.build.logs"
LOCK_MATCH = "select pg_advisory_xact_lock(hashtext('kiln.match'))"  # in a transaction: no other match begins before its end
TRACEPARENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


def new_id():
    """Ordered by time, as the gateway's are."""
    raw = bytearray(int(time.time() * 1000).to_bytes(6, "big") + secrets.token_bytes(10))
    raw[6] = (raw[6] & 0x0F) | 0x70
    raw[8] = (raw[8] & 0x3F) | 0x80
    return str(uuid.UUID(bytes=bytes(raw)))


def id_where(fits):
    """An id whose partition is one of those."""
    return next(one for one in iter(new_id, None) if fits(partition_of(one.encode(), 12)))


class Service(Process):
    """One instance."""

    def __init__(self, database, folder, **variables):
        env = {"KILN_DATABASE_URL": database.url_as("kiln_build_service", PASSWORDS["kiln_build_service"])}
        super().__init__(database.system, BIN / "kiln-build-service", folder / f"build-service-{uuid.uuid4().hex[:8]}.log", env | variables)


def end_offset(consumer, topic, partition):
    def ask():
        try:
            return consumer.get_watermark_offsets(confluent_kafka.TopicPartition(topic, partition), timeout=60)
        except confluent_kafka.KafkaException as error:  # a new topic has no leader yet
            raise AssertionError from error

    return wait_for(ask, f"{topic}/{partition} to have a leader")[1]


def skip_old_records(database):
    """The services of a new database begin behind what other tests have sent, instead of applying all of it once more."""
    consumer = confluent_kafka.Consumer({"bootstrap.servers": database.system.brokers, "group.id": "skip-old-records"})
    try:
        for topic, partition in database.sql("select distinct topic, partition from consumer_offsets"):
            statement = "update consumer_offsets set next_offset = %s where topic = %s and partition = %s"
            database.sql(statement, end_offset(consumer, topic, partition), topic, partition)
    finally:
        consumer.close()


def published(database, topic):
    """What a topic has now, all of it."""
    consumer = confluent_kafka.Consumer({"bootstrap.servers": database.system.brokers, "group.id": "published", "auto.offset.reset": "earliest"})
    places = [confluent_kafka.TopicPartition(topic, number, 0) for number in range(12)]
    left = sum(end_offset(consumer, topic, place.partition) for place in places)
    consumer.assign(places)
    found = []
    try:
        wait_for(lambda: found.extend(consumer.consume(1000, 0.2)) or len(found) >= left, "all of the topic")
    finally:
        consumer.close()
    return [Record(message) for message in found]


def stored_trail(gateway, build):
    """Puts a build back to where its request is not applied and its trail is only on Kafka, as a restore finds it."""
    gateway.sql("insert into restored_events (build_id, sequence, type, time, body, hash) select build_id, sequence, type, time, body, hash from build_events where build_id = %s", build)
    for table in ("project_slots", "build_queue", "ended_builds", "build_events", "build_requests", "build_attempts"):
        gateway.sql(f"delete from {table} where build_id = %s", build)
    gateway.sql("delete from build_audit where id = %s", build)


def catches_up_to(gateway, last):
    """Holds what begins now back as after a restore, until the request of this build is applied."""
    gateway.sql(
        "insert into restored_logs select topic, partition, next_offset + 1 from consumer_offsets"
        " where consumer = 'kiln-build-service' and topic = %s and partition = %s",
        REQUESTS,
        partition_of(last.encode(), 12),
    )


class Sender:
    """CloudEvents in Kafka's binary mode."""

    def __init__(self, brokers, source):
        self.source = source
        self.producer = confluent_kafka.Producer({"bootstrap.servers": brokers, "partitioner": "murmur2_random", "linger.ms": 0, "message.max.bytes": 8388608})

    def send(self, topic, key, type, data, event_id=None, value=None, headers=None):  # pylint: disable=redefined-builtin
        changes = {"ce_id": event_id or str(uuid.uuid4()), "traceparent": TRACEPARENT, **(headers or {})}
        body = json.dumps(data, separators=(",", ":")).encode() if value is None else value
        self.producer.produce(topic, value=body, key=key, headers=cloudevents.headers(type, self.source, key, **changes))
        self.producer.poll(0)

    def send_barrier(self, topic, partition, told=None):
        """`told(error, message)` hears of its fate."""
        headers = cloudevents.headers("read.barrier", self.source, None)
        self.producer.produce(topic, value=json.dumps({"partition": partition}).encode(), partition=partition, headers=headers, on_delivery=told)

    def is_refused(self, topic, partition):
        """A record that would do no harm."""
        fates = []
        self.send_barrier(topic, partition, lambda error, _: fates.append(error))
        self.flush()
        return fates[0] is not None

    def flush(self):
        assert self.producer.flush(60) == 0


class Gateway:
    """Projects in the database, requests on Kafka, and a look at what became of them."""

    def __init__(self, database):
        self.database = database
        self.sender = Sender(database.system.brokers, "/kiln/gateway")
        self.token = str(uuid.uuid4())
        self.posted = []
        self.connection = psycopg.connect(database.url, autocommit=True)

    def sql(self, statement, *arguments):
        cursor = self.connection.execute(statement, arguments)
        return cursor.fetchall() if cursor.description else []

    def project(self, concurrency=None, provisional_build=None, name=None):
        project = {"id": new_id(), "name": name or f"p-{uuid.uuid4().hex[:8]}"}
        self.sql(
            "insert into projects (id, name, webhook_secret, concurrency, provisional_build) values (%s, %s, %s, %s, %s)",
            project["id"], project["name"], secrets.token_bytes(32), concurrency, provisional_build,
        )  # fmt: skip
        return project

    @staticmethod
    def spec(**more):
        return {
            "prompt": "do it", "template": None, "variables": {}, "auto_commit": True, "auto_push": True, "callback_url": None,
            "agent": {"provider": "command", "model": None, "command": "demo", "max_turns": None, "max_tokens": None, "budget_usd": None},
            "branch": None, "commit_message": None, "priority": 5, "labels": [], "timeout_s": 3600, "queue_timeout_s": 86400, "max_attempts": 3,
            "artifacts": [], "metadata": {"ticket": "K-1", "\u00e4": "\u20ac\n"}, "continue_from": None, "wait_for_pipeline": False, "on_red": "none",
            **more,
        }  # fmt: skip

    def request(self, project, build=None, provisional=False, **spec):
        return {
            "build_id": build or new_id(), "project": project, "provisional": provisional, "spec": self.spec(**spec),
            "git": {"url": f"https://git.example/{project['name']}.git", "credential": None, "create_missing": False},
            "owner": self.token, "request_hash": secrets.token_hex(32), "retry_of": None, "requested_at": now(),
        }  # fmt: skip

    def queue(self, project, **more):
        """Like post, but on its way only: flush the sender."""
        data = self.request(project, **more)
        self.posted.append(data["build_id"])
        self.sender.send(REQUESTS, data["build_id"], "build.requested", data)
        return data["build_id"]

    def post(self, project, **more):
        """The new build's id; its request is on Kafka."""
        data = self.request(project, **more)
        self.send(data)
        return data["build_id"]

    def send(self, data):
        self.posted.append(data["build_id"])
        self.sender.send(REQUESTS, data["build_id"], "build.requested", data)
        self.sender.flush()

    def barrier(self, key):
        """In the partition of the key, on its way only."""
        self.sender.send_barrier(REQUESTS, partition_of(key.encode(), 12))

    def cancel(self, build):
        self.sender.send(REQUESTS, build, "build.cancel_requested", {"build_id": build, "requested_by": self.token, "requested_at": now()})
        self.sender.flush()

    def drain(self, worker):
        data = {"worker_id": worker.id, "incarnation": worker.incarnation, "requested_by": self.token, "requested_at": now()}
        self.sender.send(WORKER_EVENTS, worker.id, "worker.drain_requested", data)
        self.sender.flush()

    def wait_applied(self, topic, key):
        """Until the service has applied what this key's partition has by now."""
        wait_applied(self.database.system.brokers, self.sql, "kiln-build-service", topic, [partition_of(key.encode(), 12)])

    def row(self, build):
        columns = "status, phase, attempt, attempts_used, losses, mass_losses, cancel_requested, worker_id::text, result, settling, error_class, base_sha, branch"
        rows = self.sql(f"select {columns} from build_audit where id = %s", build)
        return dict(zip([name.split(":")[0] for name in columns.split(", ")], rows[0])) if rows else None

    def status(self, build):
        return (self.row(build) or {"status": None})["status"]

    def wait(self, build, *statuses, deadline=60.0):
        """Until it has one of these statuses (any terminal one without)."""
        wanted = statuses or ("completed", "failed", "cancelled")
        wait_for(lambda: self.status(build) in wanted, f"build {build} to be {wanted}, it is {self.row(build)}", deadline=deadline)
        return self.row(build)

    def wait_phase(self, build, phase, deadline=60.0):
        wait_for(lambda: (self.row(build) or {}).get("phase") == phase, f"build {build} in phase {phase}, it is {self.row(build)}", deadline=deadline)

    def trail(self, build):
        rows = self.sql("select sequence, type, body, hash from build_events where build_id = %s order by sequence", build)
        return [{"sequence": sequence, "type": type, "body": bytes(body), "hash": bytes(hash), "data": json.loads(bytes(body))} for sequence, type, body, hash in rows]

    def types(self, build):
        return [event["type"] for event in self.trail(build)]

    def attempts(self, build):
        rows = self.sql("select attempt, mode, state, end_reason, worker_id::text from build_attempts where build_id = %s order by attempt", build)
        return [dict(zip(("attempt", "mode", "state", "end_reason", "worker_id"), row)) for row in rows]

    def first_attempt(self, build, what):
        """Its state or end_reason; None while there is no attempt."""
        return next((attempt[what] for attempt in self.attempts(build)), None)


def result(success=True, error=None, commit_sha=None, output="done"):
    return {
        "success": success, "output": output, "error": error, "commit_sha": commit_sha, "branch": "main", "files_changed": [], "duration_ms": 5,
        "artifacts": [], "agent": None, "pipelines": [],
    }  # fmt: skip


class Worker:
    """
    A worker that does nothing by itself but read its assignments and send heartbeats; a test (or `works`) makes the moves.
    `drop`: commands of these types are read and lost.
    """

    def __init__(self, database, slots=2, labels=(), agents=("command",), worker_id=None, counter=1, nonce=None, heartbeat_s=0.5, works=False, drop=(), hello=True):
        self.brokers = database.system.brokers
        self.id = worker_id or str(uuid.uuid4())
        self.incarnation = {"counter": counter, "nonce": nonce or str(uuid.uuid4())}
        self.slots, self.labels, self.agents = slots, list(labels), list(agents)
        self.heartbeat_s, self.works, self.drop = heartbeat_s, works, set(drop)
        self.sender = Sender(self.brokers, "/kiln/executor")
        self.held, self.reported, self.commands, self.dropped = {}, {}, [], []
        self.draining, self.read_offset = False, 0
        self.changed = threading.Condition()
        self.stopping, self.hearing, self.resting, self.silent = (threading.Event() for _ in range(4))
        self.hearing.set()
        self.consumer = confluent_kafka.Consumer(
            {"bootstrap.servers": self.brokers, "group.id": f"worker-{self.id}", "enable.auto.commit": False, "auto.offset.reset": "error"}
        )
        self.partition = partition_of(self.id.encode(), 32)
        _, end = self.consumer.get_watermark_offsets(confluent_kafka.TopicPartition(ASSIGNMENTS, self.partition), timeout=60)
        self.read_offset = end
        self.consumer.assign([confluent_kafka.TopicPartition(ASSIGNMENTS, self.partition, end)])
        if hello:
            self.hello()
        self.threads = [threading.Thread(target=self._read, daemon=True), threading.Thread(target=self._beat, daemon=True)]
        for thread in self.threads:
            thread.start()

    def state(self):
        with self.changed:
            return {
                "worker_id": self.id, "incarnation": self.incarnation, "hostname": "test", "version": "0", "slots": self.slots, "labels": self.labels,
                "agents": self.agents, "sandbox": "none", "partition": self.partition, "read_offset": self.read_offset, "held": list(self.held.values()),
                "reported": list(self.reported.values()), "draining": self.draining, "time": now(),
            }  # fmt: skip

    def hello(self):
        self.sender.send(WORKER_EVENTS, self.id, "worker.hello", self.state())
        self.sender.flush()

    def heartbeat(self, **more):
        self.sender.send(WORKER_EVENTS, self.id, "worker.heartbeat", {**self.state(), **more})
        self.sender.flush()

    def bye(self):
        self.sender.send(WORKER_EVENTS, self.id, "worker.bye", {"worker_id": self.id, "incarnation": self.incarnation, "time": now()})
        self.sender.flush()

    def _beat(self):
        while not self.stopping.wait(self.heartbeat_s or 0.1):
            if self.heartbeat_s:
                self.heartbeat()
            else:
                self.silent.set()

    def _read(self):
        while not self.stopping.is_set():
            if not self.hearing.is_set():
                self.resting.set()
                self.hearing.wait()
                continue
            message = self.consumer.poll(0.1)
            if message is None or message.error():
                continue
            headers = {name: text.decode() for name, text in message.headers()}
            data = json.loads(message.value())
            with self.changed:
                self.read_offset = message.offset() + 1
                if data["worker_id"] != self.id or data["incarnation"] != self.incarnation:
                    continue
                if headers["ce_type"] in self.drop:
                    self.dropped.append(data)
                    continue
                self._take(headers["ce_type"], data)
                self.commands.append({"type": headers["ce_type"], "headers": headers, **data})
                self.changed.notify_all()
            if self.works and headers["ce_type"] == "attempt.assign":
                self.run(data)

    def _take(self, type, data):  # pylint: disable=redefined-builtin
        token = {name: data[name] for name in ("build_id", "attempt", "lease_id")} if "lease_id" in data else None
        if type == "attempt.assign":
            self.held[data["lease_id"]] = token
        elif type == "attempt.released":
            self.reported.pop(data["lease_id"], None)
        elif type == "attempt.abandon":
            self.held.pop(data["lease_id"], None)

    def wait_command(self, type, build=None, attempt=None, deadline=60.0):  # pylint: disable=redefined-builtin
        """The first such command."""

        def is_meant(command):
            return command["type"] == type and build in (None, command.get("build_id")) and attempt in (None, command.get("attempt"))

        return self._wait_first(is_meant, f"{type} for {build}", deadline)

    def _wait_first(self, is_meant, what, deadline=60.0):
        end = time.monotonic() + deadline
        with self.changed:
            while True:
                found = next(filter(is_meant, self.commands), None)
                if found is not None:
                    return found
                left = end - time.monotonic()
                if left <= 0:
                    raise TooLate(f"no {what} after {deadline:g} s: {[(c['type'], c.get('build_id')) for c in self.commands]}")
                self.changed.wait(left)

    def assignments(self, count):
        """So many attempts, each as soon as it is here; one that is assigned again is no other."""
        seen = set()
        while len(seen) < count:
            command = self._wait_first(lambda one: one["type"] == "attempt.assign" and one["lease_id"] not in seen, f"assignment behind {len(seen)}")
            seen.add(command["lease_id"])
            yield command

    def wait_dropped(self, build):
        """The first command about it that was read and lost."""
        return wait_for(lambda: next((data for data in [*self.dropped] if data["build_id"] == build), None), f"a command about {build} to be dropped")

    def was_assigned(self, build):
        """The first assignment of it so far, or None."""
        with self.changed:
            return next((command for command in self.commands if command["type"] == "attempt.assign" and command["build_id"] == build), None)

    def assigned(self, build, attempt=None, deadline=60.0):
        return self.wait_command("attempt.assign", build, attempt, deadline)

    def report(self, assign, type, flush=True, **more):  # pylint: disable=redefined-builtin
        token = {name: assign[name] for name in ("build_id", "attempt", "lease_id")}
        self.sender.send(RESULTS, assign["build_id"], type, {**token, "worker_id": self.id, "incarnation": self.incarnation, "time": now(), **more})
        if flush:
            self.sender.flush()

    def accept(self, assign):
        self.report(assign, "attempt.accepted")

    def phase(self, assign, phase, base_sha=None, branch=None, commit_sha=None):
        self.report(assign, "attempt.phase", phase=phase, base_sha=base_sha, branch=branch, commit_sha=commit_sha)

    def finish(self, assign, outcome="completed", published=False, closed=False, retryable=False, **more):
        error = None if outcome == "completed" else more.pop("error", {"class": "agent_failed" if outcome == "failed" else "cancelled", "message": "no"})
        with self.changed:
            token = self.held.pop(assign["lease_id"], None)
            if token:
                self.reported[assign["lease_id"]] = {**token, "acknowledged": False}
        data = {"result": result(success=error is None, error=error, commit_sha=more.pop("commit_sha", None)), **more}
        self.report(assign, "attempt.finished", outcome=outcome, published=published, closed=closed, retryable=retryable, **data)
        self.acknowledge(assign)

    def acknowledge(self, assign):
        """Kafka has all that was sent of the result."""
        with self.changed:
            if assign["lease_id"] in self.reported:
                self.reported[assign["lease_id"]]["acknowledged"] = True

    def finish_illegibly(self, assign, type="attempt.finished", value=None, headers=None, **changes):  # pylint: disable=redefined-builtin
        """A result as `finish` sends it, but for these changes."""
        with self.changed:
            token = self.held.pop(assign["lease_id"])
            self.reported[assign["lease_id"]] = {**token, "acknowledged": False}
        data = {**token, "worker_id": self.id, "incarnation": self.incarnation, "outcome": "completed", "published": False, "result": result(), **changes}
        self.sender.send(RESULTS, assign["build_id"], type, data, value=value, headers=headers)
        self.sender.flush()
        self.acknowledge(assign)

    def run(self, assign):
        """All of it."""
        self.report(assign, "attempt.accepted", flush=False)
        sha = secrets.token_hex(20)
        for phase in ("preparing", "agent", "committing", "pushing"):
            more = {"base_sha": "a" * 40, "branch": "main"} if phase == "agent" else {"base_sha": None, "branch": None}
            self.report(assign, "attempt.phase", flush=False, phase=phase, commit_sha=sha if phase == "pushing" else None, **more)
        self.finish(assign, published=True, commit_sha=sha)

    def deafen(self):
        """From here on nothing more is read, until `hearing` is set again."""
        self.resting.clear()
        self.hearing.clear()
        assert self.resting.wait(60)

    def quieten(self):
        """From here on no heartbeat is under way to Kafka."""
        self.silent.clear()
        self.heartbeat_s = 0
        assert self.silent.wait(60)

    def freeze(self):
        """No heartbeats, no reading: as if the host were gone."""
        self.quieten()
        self.deafen()

    def stop(self):
        self.stopping.set()
        self.hearing.set()
        for thread in self.threads:
            thread.join()
        self.consumer.close()
