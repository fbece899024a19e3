"""What a record on a topic must be like: headers by CloudEvents, data by schema, build events by hash and canonical form."""

import hashlib
import re

import rfc8785

from . import jsonschemas

# topic: (headers' schema, types, field of data that is the key)
TOPICS = {
    "kiln.build.requests": ("message", ("build.requested", "build.cancel_requested", "read.barrier"), "build_id"),
    "kiln.build.assignments": (
        "message",
        ("attempt.assign", "attempt.cancel", "attempt.released", "attempt.abandon", "worker.fenced", "worker.drain"),
        "worker_id",
    ),
    "kiln.build.results": ("message", ("attempt.accepted", "attempt.phase", "attempt.finished", "read.barrier"), "build_id"),
    "kiln.worker.events": (
        "message",
        ("worker.hello", "worker.heartbeat", "worker.draining", "worker.bye", "worker.drain_requested", "read.barrier"),
        "worker_id",
    ),
    "kiln.build.logs": ("message", ("build.log",), "build_id"),
    "kiln.build.events": (
        "build_event",
        (
            "build.pending",
            "build.started",
            "build.phase",
            "build.attempt_lost",
            "build.completed",
            "build.failed",
            "build.cancelled",
            "build.late_commit",
        ),
        "build_id",
    ),
    "kiln.project.events": ("project_event", ("project.created", "project.changed", "project.deleted"), "project.id"),
}
KEYLESS = ("read.barrier",)  # lies where the sender wants it
TERMINAL = ("build.completed", "build.failed", "build.cancelled")
DEAD_LETTERS = "kiln.dead-letters"
RESERVED = "kiln.ci.events"  # empty
# A test that sends rubbish marks it, so that only Kiln's own records are judged.
RUBBISH = "kiln_test_rubbish"
MAX_LINE = 16384


def murmur2(data):
    """Kafka's own hash, from its definition: what every Java producer uses."""
    mask, m = 0xFFFFFFFF, 0x5BD1E995
    h = (0x9747B28C ^ len(data)) & mask
    whole = len(data) & ~3
    for at in range(0, whole, 4):
        k = int.from_bytes(data[at : at + 4], "little") * m & mask
        h = (h * m & mask) ^ ((k ^ k >> 24) * m & mask)
    if len(data) > whole:
        h = (h ^ int.from_bytes(data[whole:], "little")) * m & mask
    h = (h ^ h >> 13) * m & mask
    return h ^ h >> 15


def partition_of(key, partitions):
    return (murmur2(key) & 0x7FFFFFFF) % partitions


class Record:
    """One record as it came."""

    def __init__(self, message):
        self.topic = message.topic()
        self.partition = message.partition()
        self.offset = message.offset()
        self.key = (message.key() or b"").decode("utf-8", "replace")
        self.headers = {name: (value or b"").decode("utf-8", "replace") for name, value in message.headers() or []}
        self.header_names = [name for name, _ in message.headers() or []]
        self.value = message.value() or b""
        self.is_tombstone = message.value() is None
        self.type = self.headers.get("ce_type")
        self.flaw = None  # why it is no good JSON
        self.data = None
        try:
            self.data = jsonschemas.parse(self.value)
        except (ValueError, AssertionError, RecursionError) as error:
            self.flaw = str(error)

    def __repr__(self):
        return f"<{self.type} {self.topic}/{self.partition}/{self.offset} {self.key[:40]} {self.value[:160]!r}>"

    @property
    def build_id(self):
        return self.data.get("build_id") if isinstance(self.data, dict) else None


def _log_lines(data):
    for line in data.get("lines", []):
        if set(line) - {"truncated"} != {"time", "stream", "text"} or line["stream"] not in ("stdout", "stderr", "kiln"):
            yield f"a bad line: {str(line)[:200]}"
        elif len(line["text"].encode()) > MAX_LINE:
            yield f"a line of {len(line['text'].encode())} bytes"


class Judge:
    """Judges records in the order of each partition; `wrong` collects sentences.

    From the beginning of the topics every chain must begin with 1; from anywhere else those that began before are left alone.
    """

    def __init__(self, partitions, from_beginning=True):
        self.partitions = partitions  # topic -> count
        self.from_beginning = from_beginning
        self.chains = {}  # (topic, key) -> (sequence, hash, terminal)
        self.wrong = []

    def see(self, record):
        if RUBBISH in record.headers and record.topic != DEAD_LETTERS:
            return
        found = list(self._judge(record))
        self.wrong += [f"{record!r}: {text}" for text in found]

    def _judge(self, record):
        if record.topic == DEAD_LETTERS:
            yield from jsonschemas.problems("kafka-headers.json#/$defs/dead_letter", record.headers, strictly=False)
            return
        shape, types, key_field = TOPICS[record.topic]
        keyless = record.type in KEYLESS
        if keyless:
            shape, key_field = "keyless", None
        if record.type not in types:
            yield f"type {record.type} does not belong on {record.topic}"
            return
        yield from self._headers(record, shape, key_field)
        data = record.data
        if record.flaw is not None:
            yield f"no good JSON: {record.flaw}"
            return
        if record.type == "build.log":
            yield from _log_lines(data)
            # All lines are alike and were looked at: the validator need not see each of a hundred thousand.
            data = {**data, "lines": data["lines"][:3] + data["lines"][-3:]} if isinstance(data.get("lines"), list) else data
        yield from jsonschemas.problems(f"events/{record.type}.json", data)
        if keyless:
            if record.key or data.get("partition") != record.partition:
                yield "a record without a key has one, or names another partition"
            return
        key = data
        for part in key_field.split("."):
            key = key.get(part) if isinstance(key, dict) else None
        if key != record.key:
            yield f"key is {record.key}, but {key_field} {key}"
        if partition_of(record.key.encode(), self.partitions[record.topic]) != record.partition:
            yield f"partition {record.partition} is not the one of Java's partitioner"
        if shape in ("build_event", "project_event"):
            yield from self._sequence(record, data)

    def _headers(self, record, shape, key_field):
        yield from jsonschemas.problems(f"kafka-headers.json#/$defs/{shape}", record.headers)
        if len(set(record.header_names)) != len(record.header_names):
            yield f"repeated headers: {record.header_names}"
        if record.headers.get("ce_dataschema") != f"urn:kiln:schema:{record.type}":
            yield f"ce_dataschema is {record.headers.get('ce_dataschema')}"
        expected = record.key if key_field in ("build_id", "worker_id", "project.id") else None
        if record.headers.get("ce_subject") != expected:
            yield f"ce_subject is {record.headers.get('ce_subject')}, not {expected}"

    def _sequence(self, record, data):
        chain = (record.topic, record.key)
        last, previous, ended = self.chains.get(chain, (0, bytes(32), False))
        sequence = data["sequence"]
        word = record.topic.split(".")[1]
        if record.headers.get("ce_id") != f"{word}/{record.key}/{sequence}":
            yield f"ce_id is {record.headers.get('ce_id')}"
        if not re.fullmatch(r"[0-9]+", record.headers.get("ce_sequence", "")):
            yield "ce_sequence is no number"
        elif int(record.headers["ce_sequence"]) != sequence:
            yield f"ce_sequence is {record.headers['ce_sequence']}, sequence {sequence}"
        if sequence <= last:
            return  # a repeat
        if chain not in self.chains and sequence != 1 and not self.from_beginning:
            return
        if sequence != last + 1:
            yield f"sequence jumps from {last} to {sequence}"
        digest = previous
        if word == "build":
            if rfc8785.dumps(data) != record.value:
                yield "the value is not in canonical form (RFC 8785)"
            digest = hashlib.sha256(previous + record.value).digest()
            if record.headers.get("ce_hash") != digest.hex():
                yield "ce_hash does not follow from the event before"
            if ended and record.type != "build.late_commit":
                yield "an event that changes the status after the terminal one"
        self.chains[chain] = (sequence, digest, ended or record.type in TERMINAL)
