"""A consumer made of Kafka's own Java jars reads a hundred builds as the contract says."""

import base64
import glob
import hashlib
import json
import os
import pathlib
import subprocess
import uuid

import pytest
from kiln_testing import jsonschemas, records
from kiln_testing.agents import spec, waiting_spec

SOURCE = pathlib.Path(__file__).parents[1] / "support" / "java-consumer" / "TrailConsumer.java"
TOPIC = "kiln.build.events"
LONG = 240  # seconds


def kafka_libs():
    """Kafka's jars: named by ./dev test, else where ./dev keeps them."""
    given = os.environ.get("KILN_TEST_KAFKA_LIBS")
    places = [given] if given else glob.glob("/var/cache/kiln/kafka-*/libs") + glob.glob(os.path.expanduser("~/.cache/kiln/kafka-*/libs"))
    assert places, "no Kafka jars"
    return places[0]


@pytest.fixture(scope="module")
def java_class(tmp_path_factory):
    folder = tmp_path_factory.mktemp("java")
    subprocess.run(["javac", "-cp", f"{kafka_libs()}/*", "-d", folder, SOURCE], check=True, timeout=200)
    return folder


def hundred_builds(kiln, own):
    """Of a label of their own, so that other tests' builds need not wait behind them: 90 that complete, 5 that fail, 5 that are cancelled; their ids."""
    projects = [kiln.seeded()[0] for _ in range(4)]
    good, bad = kiln.agents.write("echo x > $$.txt"), kiln.agents.write("exit 1")
    tasks = [kiln.post(projects[n % 4], spec(good, labels=[own], auto_commit=n % 9 == 0, auto_push=n % 9 == 0)) for n in range(90)]
    tasks += [kiln.post(projects[0], spec(bad, labels=[own])) for _ in range(5)]
    cancelled = [kiln.post(projects[0], waiting_spec()) for _ in range(5)]
    for task in cancelled:
        kiln.cancel(task)
    return tasks + cancelled


class Seen:
    """One printed line."""

    def __init__(self, line):
        partition, wanted, offset, self.key, headers, value = line.split("\t")
        self.partition, self.wanted, self.offset = int(partition), int(wanted), int(offset)
        pairs = (pair.split("=", 1) for pair in headers.split(",") if pair)
        self.headers = {name: base64.b64decode(text).decode() for name, text in pairs}
        self.value = base64.b64decode(value)
        self.data = json.loads(self.value)


@pytest.mark.timeout(2 * LONG)
def test_a_java_consumer_finds_a_hundred_builds_whole(kiln, java_class):
    own = f"l{uuid.uuid4().hex[:10]}"
    with kiln.system.executor(slots=4, labels=[own]):
        tasks = hundred_builds(kiln, own)
        output = subprocess.run(
            [
                "java",
                "-Xmx128m",
                "-XX:+UseSerialGC",
                "-cp",
                f"{java_class}:{kafka_libs()}/*",
                "TrailConsumer",
                kiln.system.brokers,
                TOPIC,
                f"java-{uuid.uuid4()}",
                str(LONG),
            ],
            input="\n".join(tasks),
            capture_output=True,
            text=True,
            timeout=LONG + 60,
            check=False,
        )
    assert output.returncode == 0, output.stderr[-2000:]
    seen = [Seen(line) for line in output.stdout.splitlines()]
    mine = [record for record in seen if record.key in set(tasks)]

    types = {record.headers["ce_type"] for record in mine}
    assert types >= {"build.pending", "build.started", "build.phase", "build.completed", "build.failed", "build.cancelled"}
    assert [record for record in seen if record.partition != record.wanted] == []
    for task in tasks:
        last, previous, ends = 0, bytes(32), 0
        for record in mine:
            if record.key != task or record.data["sequence"] <= last:
                continue
            assert record.data["sequence"] == last + 1 == int(record.headers["ce_sequence"])
            previous = hashlib.sha256(previous + record.value).digest()
            assert record.headers["ce_hash"] == previous.hex()
            last += 1
            ends += record.headers["ce_type"] in records.TERMINAL
        assert ends == 1 and last >= 2
    for record in mine:
        assert not jsonschemas.problems(f"events/{record.headers['ce_type']}.json", record.data)
        assert not jsonschemas.problems("kafka-headers.json#/$defs/build_event", record.headers)
