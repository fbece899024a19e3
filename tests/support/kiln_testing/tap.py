"""Reads every record of every topic, judges it, and lets tests wait for records."""

import threading
import time

import confluent_kafka

from . import records
from .waiting import TooLate


class Tap:
    """From the beginning of all topics, or (on a system that others have used for long) from their end as it is now."""

    def __init__(self, brokers, from_beginning=True):
        self.brokers = brokers
        self.consumer = confluent_kafka.Consumer(
            {
                "bootstrap.servers": brokers,
                "group.id": "kiln-test-tap",  # never joined: partitions are assigned
                "enable.auto.commit": False,
                "auto.offset.reset": "earliest",
                # Several suites read all topics of one broker, for which a fetch of many records is as cheap as one of one, and one
                # of none, of all partitions, costs it milliseconds.
                "fetch.min.bytes": 1024 * 1024,
                "fetch.wait.max.ms": 250,
                "reconnect.backoff.max.ms": 500,
                "fetch.message.max.bytes": 8 * 1024 * 1024,
                "log_level": 0,
                "error_cb": lambda _: None,  # brokers go away on purpose
            }
        )
        metadata = self.consumer.list_topics(timeout=60)
        names = [*records.TOPICS, records.DEAD_LETTERS]
        self.partitions = {name: len(metadata.topics[name].partitions) for name in names if name in metadata.topics}
        missing = set(names) - set(self.partitions)
        assert not missing, f"topics are missing: {missing}"
        places = [confluent_kafka.TopicPartition(name, number, 0) for name, count in self.partitions.items() for number in range(count)]
        for place in places:
            first, end = self.consumer.get_watermark_offsets(place, timeout=60)
            place.offset = first if from_beginning else end
        self.consumer.assign(places)
        self.next = {(place.topic, place.partition): place.offset for place in places}
        self.judge = records.Judge(self.partitions, from_beginning)
        self.records = []
        self.by_build = {}
        self.changed = threading.Condition()
        self.failure = None
        self.closing = False
        self.thread = threading.Thread(target=self._run, name="kafka-tap", daemon=True)
        self.thread.start()

    def _run(self):
        try:
            while not self.closing:
                messages = self.consumer.consume(500, timeout=0.05)
                taken = [records.Record(message) for message in messages if not message.error()]
                if not taken:
                    continue
                with self.changed:
                    for record in taken:
                        self.judge.see(record)
                        self.next[record.topic, record.partition] = record.offset + 1
                        self.records.append(record)
                        if record.build_id:
                            self.by_build.setdefault(record.build_id, []).append(record)
                    self.changed.notify_all()
        except Exception as error:  # shown by the next wait
            self.failure = error
        finally:
            self.consumer.close()

    def close(self):
        self.closing = True
        self.thread.join(10)

    def is_at_end(self):
        """Everything that is on the topics now has been seen."""
        # On a connection of its own: on the tap's, each question waits for the end of a fetch.
        asking = confluent_kafka.Consumer({"bootstrap.servers": self.brokers, "group.id": "kiln-test-tap"})
        try:
            ends = {place: asking.get_watermark_offsets(confluent_kafka.TopicPartition(*place), timeout=60)[1] for place in list(self.next)}
        finally:
            asking.close()
        with self.changed:
            return all(self.next[place] >= end for place, end in ends.items())

    def of(self, build_id, topic=None, type=None):
        """The build's records so far."""
        with self.changed:
            return [record for record in self.by_build.get(build_id, []) if topic in (None, record.topic) and type in (None, record.type)]

    def wait(self, condition, what, deadline=120.0):
        """The first true value of condition(), asked after each batch of records."""
        end = time.monotonic() + deadline
        with self.changed:
            while True:
                found = condition()
                if found:
                    return found
                assert self.failure is None, f"the tap has failed: {self.failure!r}"
                left = end - time.monotonic()
                if left <= 0:
                    raise TooLate(f"after {deadline:g} s still waiting for {what}")
                self.changed.wait(left)

    def wait_type(self, build_id, type, count=1, deadline=120.0):
        """The build's records of a type, once there are `count`."""

        def enough():
            found = [record for record in self.by_build.get(build_id, []) if record.type == type]
            return found if len(found) >= count else None

        return self.wait(enough, f"{count} × {type} of build {build_id}", deadline)

    def wait_end(self, build_id, deadline=120.0):
        """The build's terminal event on Kafka."""
        return self.wait(
            lambda: next((r for r in self.by_build.get(build_id, []) if r.type in records.TERMINAL), None),
            f"the end of build {build_id}",
            deadline,
        )

    def events(self, build_id):
        """First occurrences of the build's events, in order."""
        found, last = [], 0
        for record in self.of(build_id, "kiln.build.events"):
            if record.data["sequence"] > last:
                found.append(record)
                last = record.data["sequence"]
        return found
