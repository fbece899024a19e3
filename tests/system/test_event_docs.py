"""docs/events.md: the consumer that it prints works as printed."""

import re
import subprocess
import sys
import uuid

import confluent_kafka
import pytest
from kiln_testing import places
from kiln_testing.records import partition_of
from kiln_testing.waiting import wait_for

LONG = 240


def program():
    text = (places.ROOT / "docs" / "events.md").read_text(encoding="utf-8")
    (code,) = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    return code


class Run:
    """The documented program, running in a group."""

    def __init__(self, kiln, folder, group, token=None):
        path = folder / "consumer.py"
        path.write_text(program(), encoding="utf-8")
        self.out = folder / f"out-{uuid.uuid4().hex}"
        environment = {
            "PATH": "/usr/bin:/bin",
            "KILN_KAFKA_BROKERS": kiln.system.brokers,
            "KILN_URL": kiln.system.url,
            "KILN_TOKEN": token or kiln.system.env["KILN_TOKEN"],
        }
        self.file = self.out.open("wb")
        self.process = subprocess.Popen([sys.executable, "-u", path, group], env=environment, stdout=self.file, stderr=subprocess.STDOUT)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.terminate()
        self.process.wait(60)
        self.file.close()

    def lines(self):
        assert self.process.poll() is None, self.out.read_text()
        return self.out.read_text(encoding="utf-8").splitlines()

    def of(self, task):
        return [line for line in self.lines() if task in line]


    def numbers_of(self, task):
        return [int(line.split()[1]) for line in self.of(task)]


def skip_what_others_made(kiln, group, task, last=None):
    """The group has read all that there is now, but for the build's own partition: it commits each event, and there are thousands.

    There it has read up to the record `last`, or nothing.
    """
    topic, count = "kiln.build.events", kiln.tap.partitions["kiln.build.events"]
    consumer = confluent_kafka.Consumer({"bootstrap.servers": kiln.system.brokers, "group.id": group})
    try:
        places = [confluent_kafka.TopicPartition(topic, number) for number in range(count) if number != partition_of(task.encode(), count)]
        for place in places:
            place.offset = consumer.get_watermark_offsets(place, timeout=60)[1]
        if last is not None:
            places.append(confluent_kafka.TopicPartition(topic, last.partition, last.offset + 1))
        consumer.commit(offsets=places, asynchronous=False)
    finally:
        consumer.close()


def begin_behind_the_second_event(kiln, group):
    """A build that has ended, of which the group has read two events: (its id, how many it has)."""
    project, _ = kiln.seeded()
    task = kiln.run(project, "true")
    kiln.wait_end(task)
    events = kiln.tap.events(task)
    skip_what_others_made(kiln, group, task, last=events[1])
    return task, len(events)


@pytest.mark.timeout(4 * LONG)
def test_the_documented_consumer_shows_each_event_once_and_in_order(kiln, tmp_path):
    group = f"docs-{uuid.uuid4()}"
    project, _ = kiln.seeded()
    first = kiln.run(project, "true")
    kiln.wait_end(first)
    skip_what_others_made(kiln, group, first)
    with Run(kiln, tmp_path, group) as run:
        # It begins with what is there, and goes on with what comes.
        wait_for(lambda: any("build.completed" in line for line in run.of(first)), "the old build", LONG)
        second = kiln.run(project, "exit 1")
        kiln.wait_end(second)
        wait_for(lambda: any("build.failed" in line for line in run.of(second)), "the new build", LONG)
        for task in (first, second):
            types = [event["type"] for event in kiln.trail(task)]
            shown = [next(word for word in line.split() if word.startswith("build.")) for line in run.of(task)]
            assert shown == types
    third = kiln.run(project, "true")
    kiln.wait_end(third)
    with Run(kiln, tmp_path, group) as run:
        # The group remembers: nothing of what was committed comes again.
        wait_for(lambda: any("build.completed" in line for line in run.of(third)), "the build of the time between", LONG)
        assert run.of(first) == []


@pytest.mark.timeout(4 * LONG)
def test_the_documented_consumer_that_starts_in_the_middle_shows_what_was_before(kiln, tmp_path):
    group = f"docs-{uuid.uuid4()}"
    task, count = begin_behind_the_second_event(kiln, group)
    with Run(kiln, tmp_path, group) as run:
        wait_for(lambda: any("build.completed" in line for line in run.of(task)), "the end of the build", LONG)
        assert run.numbers_of(task) == list(range(1, count + 1))


@pytest.mark.timeout(4 * LONG)
def test_the_documented_consumer_goes_on_where_its_token_shows_no_trail(kiln, tmp_path):
    group = f"docs-{uuid.uuid4()}"
    other = kiln.token(["builds:read"], projects=[kiln.project()["name"]])
    task, count = begin_behind_the_second_event(kiln, group)
    with Run(kiln, tmp_path, group, other.token) as run:
        wait_for(lambda: any("build.completed" in line for line in run.of(task)), "the end of the build", LONG)
        assert run.numbers_of(task) == list(range(3, count + 1))
