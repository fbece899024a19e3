"""Reads all records of all topics as they come, and keeps them; what they mean is looked at later."""

import json
import threading

import confluent_kafka

from evidence import Message
from kiln_testing import records

TERMINAL = {name.encode() for name in records.TERMINAL}
WORKER_LOST = b"worker_lost"  # a class of errors
DOUBLE = "kiln-chaos: another agent of this build lives"  # an agent's last words
QUIET = {"group.id": "kiln-chaos", "enable.auto.commit": False, "log_level": 0, "error_cb": lambda _: None}


def message_of(record):
    headers = {name: (value or b"").decode("utf-8", "replace") for name, value in record.headers() or []}
    value = record.value() or b""
    try:
        data = json.loads(value)
    except ValueError:
        data = None
    key = (record.key() or b"").decode("utf-8", "replace")
    return Message(record.topic(), record.partition(), record.offset(), key, headers.get("ce_type"), headers.get("ce_id"), value, data, headers.get("ce_hash"))


def is_evidence(record):
    """An hour has millions of records of which the checker wants nothing."""
    topic = record.topic()
    if topic == "kiln.build.logs":
        return DOUBLE.encode() in record.value()
    if topic == "kiln.build.assignments":
        return dict(record.headers() or ()).get("ce_type") == b"attempt.assign"
    if topic == "kiln.build.results":
        return WORKER_LOST in record.value()
    return topic in ("kiln.build.requests", "kiln.build.events", records.DEAD_LETTERS)


class Reader:
    """From the beginning of all topics. `ended`: the builds whose end has been told; `lost`: those that have ended by losing their worker too often."""

    def __init__(self, brokers):
        self.brokers = brokers
        self.consumer = confluent_kafka.Consumer(
            QUIET | {"bootstrap.servers": brokers, "auto.offset.reset": "earliest", "fetch.wait.max.ms": 100, "reconnect.backoff.max.ms": 500, "fetch.message.max.bytes": 8 << 20}
        )
        self.topics = [*records.TOPICS, records.DEAD_LETTERS]
        known = self.consumer.list_topics(timeout=60).topics
        self.places = [(name, number) for name in self.topics for number in range(len(known[name].partitions))]
        self.consumer.assign([confluent_kafka.TopicPartition(*place, 0) for place in self.places])
        self.records = []
        self.next = dict.fromkeys(self.places, 0)
        self.ended, self.lost = set(), set()
        self.failure = None
        self.closing = False
        self.thread = threading.Thread(target=self._run, name="reader", daemon=True)
        self.thread.start()

    def _run(self):
        try:
            while not self.closing:
                for record in self.consumer.consume(1000, timeout=0.1):
                    if record.error():
                        continue
                    if is_evidence(record):
                        self.records.append(record)
                    self.next[record.topic(), record.partition()] = record.offset() + 1
                    if record.topic() == "kiln.build.events" and dict(record.headers())["ce_type"] in TERMINAL:
                        self.ended.add(record.key().decode())
                        if WORKER_LOST in record.value():
                            self.lost.add(record.key().decode())
        except Exception as error:  # pylint: disable=broad-exception-caught  # told by `check`
            self.failure = error
        finally:
            self.consumer.close()

    def check(self):
        assert self.failure is None and self.thread.is_alive(), f"the reader has failed: {self.failure!r}"

    def close(self):
        self.closing = True
        self.thread.join(30)

    def ends(self):
        """place -> (log start, end), as the brokers say now."""
        consumer = confluent_kafka.Consumer(QUIET | {"bootstrap.servers": self.brokers})
        try:
            return {place: consumer.get_watermark_offsets(confluent_kafka.TopicPartition(*place), timeout=60) for place in self.places}
        finally:
            consumer.close()

    def has_read(self, ends):
        self.check()
        return all(self.next[place] >= end for place, (_, end) in ends.items())

    def messages(self):
        return [message_of(record) for record in list(self.records)]


def reread(brokers, topic, partition, offset, end):
    """What a new consumer finds from there on, up to that end."""
    consumer = confluent_kafka.Consumer(QUIET | {"bootstrap.servers": brokers, "auto.offset.reset": "error", "fetch.message.max.bytes": 8 << 20, "enable.partition.eof": True})
    found = []
    try:
        consumer.assign([confluent_kafka.TopicPartition(topic, partition, offset)])
        while not found or found[-1].offset + 1 < end:
            record = consumer.poll(60)
            if record is None or record.error():
                break
            found.append(message_of(record))
    finally:
        consumer.close()
    return found
