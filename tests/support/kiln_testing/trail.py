"""A build's trail as the API shows it."""

import hashlib

import rfc8785

from . import jsonschemas
from .records import TERMINAL


def verify(items):
    """Gapless from 1, each event by its schema, hash-chained, nothing but late commits after the end. Returns the types."""
    previous = bytes(32)
    ended = False
    for number, item in enumerate(items, 1):
        assert item["sequence"] == number, f"event {number} has sequence {item['sequence']}"
        wrong = jsonschemas.problems(f"events/{item['type']}.json", item["data"])
        assert not wrong, f"{item['type']}: {wrong}"
        assert item["data"]["sequence"] == number and item["data"]["attempt"] == item["attempt"]
        previous = hashlib.sha256(previous + rfc8785.dumps(item["data"])).digest()
        assert item["hash"] == previous.hex(), f"the hash of event {number} does not follow"
        assert not ended or item["type"] == "build.late_commit", f"{item['type']} after the end"
        ended = ended or item["type"] in TERMINAL
    return [item["type"] for item in items]


def statuses(items):
    """The statuses in order, each once in a row."""
    found = []
    for item in items:
        if not found or found[-1] != item["data"]["status"]:
            found.append(item["data"]["status"])
    return found


def phases(items):
    found = []
    for item in items:
        phase = item["data"]["phase"]
        if phase is not None and (not found or found[-1] != phase):
            found.append(phase)
    return found
