"""Evidence of a small run in which all is well, for tests of the checker to forge violations into."""

import hashlib
import itertools
import json

import checker
import pytest
from bots import Posted, Seen
from evidence import Attempt, Entry, Event, Evidence, Message, Offset, Row, Update, Window

LOST, WON, QUIET = "build-lost", "build-won", "build-quiet"  # the first attempt of LOST was lost
GONE = "build-gone"  # was lost as often as it may be
CONTROL = "build-control"


class Forge:
    """Makes evidence of a small run in which all is well."""

    def __init__(self):
        self.evidence = Evidence()
        self.offsets = {}

    def message(self, topic, key, type_, data, event_id=None, digest=None):
        offset = self.offsets.setdefault(topic, itertools.count())
        value = json.dumps(data).encode()
        made = Message(topic, 0, next(offset), key, type_, event_id or f"{topic}/{key}/{type_}", value, data, digest)
        self.evidence.messages.append(made)
        return made

    def event(self, build, time, type_, status, phase, attempt, **more):
        rows = self.evidence.trail.setdefault(build, [])
        before = rows[-1].hash if rows else bytes(32)
        data = {"build_id": build, "sequence": len(rows) + 1, "status": status, "phase": phase, "attempt": attempt} | more
        made = self.message(checker.BUILD_EVENTS, build, type_, data, f"build/{build}/{len(rows) + 1}")
        digest = hashlib.sha256(before + made.value).digest()
        made.hash = digest.hex()
        rows.append(Event(len(rows) + 1, type_, time, made.value, digest, data))

    def assigned(self, build, number, worker, begin, end, state="finished", reason="completed", mode="run"):
        lease = f"lease-{build}-{number}"
        data = {"build_id": build, "attempt": number, "lease_id": lease, "worker_id": worker, "incarnation": {"counter": 1, "nonce": "n"}}
        self.message("kiln.build.assignments", worker, "attempt.assign", data)
        self.evidence.attempts.append(Attempt(build, number, lease, worker, mode, state, begin, begin + 0.1, end, reason))
        self.event(build, begin, "build.phase", "pending", "assigned", number)

    def ran(self, build, number, worker, begin, end):
        self.event(build, begin, "build.started", "running", "preparing", number, mode="run")
        self.event(build, begin + 0.1, "build.phase", "running", "agent", number)
        self.evidence.journal += [Entry(begin + 0.1, worker, "agent starts", build, number), Entry(end, worker, "agent ended", build, number)]

    def requested(self, build, time):
        self.message("kiln.build.requests", build, "build.requested", {"build_id": build})
        self.event(build, time, "build.pending", "pending", "queued", 0)
        self.evidence.posted[build] = Posted(build, "p", "main", True, f"/{build}")
        self.evidence.told[f"/{build}"] = {f"build/{build}/end"}

    def lost(self, build, number, worker, begin, reason="worker_restarted"):
        """An attempt that ran for a second, and what is told of it."""
        self.assigned(build, number, worker, begin, begin + 1, "lost", reason)
        self.ran(build, number, worker, begin + 0.2, begin + 0.9)
        self.event(build, begin + 1, "build.attempt_lost", "pending", "queued", number, reason=reason)

    def gave_up(self, build, number, worker, begin):
        """The same, told by the worker itself, whose lease was over."""
        self.assigned(build, number, worker, begin, begin + 1, "finished", "failed")
        self.ran(build, number, worker, begin + 0.2, begin + 0.9)
        self.message("kiln.build.results", build, "attempt.finished", told(build, number, "worker_lost"))

    def failed(self, build, number, time, name):
        self.event(build, time, "build.failed", "failed", None, number, result={"error": {"class": name}})
        self.evidence.rows[build] = Row("failed", None, name)

    def completed(self, build, number, worker, time):
        sha = f"sha-{build}"
        self.event(build, time, "build.phase", "running", "pushing", number)
        self.evidence.journal.append(Entry(time, worker, "push begins", build, number))
        self.evidence.updates.append(Update("p", "refs/heads/main", sha, build))
        self.evidence.commits[build] = {sha}
        self.event(build, time + 0.5, "build.completed", "completed", None, number)
        self.evidence.rows[build] = Row("completed", sha, None)


def told(build, number, name):
    return {"build_id": build, "attempt": number, "lease_id": f"lease-{build}-{number}", "retryable": True, "published": False, "result": {"error": {"class": name}}}


@pytest.fixture
def run():
    """One build goes through, one loses its first worker, one as many as it may; a fourth waits for its turn in a quiet window."""
    forge = Forge()
    forge.requested(WON, 10)
    forge.assigned(WON, 1, "w1", 10.01, 12.5)
    forge.ran(WON, 1, "w1", 10.2, 11.9)
    forge.completed(WON, 1, "w1", 12)
    forge.requested(LOST, 20)
    forge.assigned(LOST, 1, "w1", 20.1, 30, "lost", "lease_expired")
    forge.ran(LOST, 1, "w1", 20.2, 25)
    forge.event(LOST, 30, "build.attempt_lost", "pending", "queued", 1, reason="lease_expired")
    forge.assigned(LOST, 2, "w2", 30.1, 32.5)
    forge.ran(LOST, 2, "w2", 30.3, 31.9)
    forge.completed(LOST, 2, "w2", 32)
    forge.requested(GONE, 40)
    forge.lost(GONE, 1, "w1", 41)
    forge.lost(GONE, 2, "w2", 43)
    forge.failed(GONE, 2, 44, "worker_lost")
    forge.requested(QUIET, 100)
    forge.assigned(QUIET, 1, "w1", 100.1, 105)
    forge.ran(QUIET, 1, "w1", 100.2, 103)
    forge.completed(QUIET, 1, "w1", 104)
    evidence = forge.evidence
    evidence.windows = [Window({QUIET}, 1)]
    evidence.max_losses = 2
    evidence.controls = {CONTROL}
    evidence.doubles = [Entry(0, "", "double", CONTROL, 1)]
    evidence.seen = [
        Seen(LOST, 20, 20.1, 200, "pending", "queued", 0),
        Seen(LOST, 21, 21.1, 200, "running", "agent", 1),
        Seen(LOST, 30, 30.1, 200, "pending", "queued", 1),
        Seen(LOST, 33, 33.1, 200, "completed", None, 2),
    ]
    evidence.offsets = [Offset("kiln-build-service", "kiln.build.requests", 0, 3, 0, 3, 3)]
    evidence.rereads = [[message for message in evidence.messages if message.topic == checker.BUILD_EVENTS][4:]]
    evidence.forge = forge
    return evidence


def found(evidence):
    """The names of the checks that found something."""
    return {text.partition(":")[0] for text in checker.violations(evidence)}


def remove(evidence, *types, build=None):
    evidence.messages = [message for message in evidence.messages if message.type not in types or build not in (None, message.build)]


def forged(module):
    """What a module has to forge, by its name, which begins with forge_ and the check that is to find it."""
    return {name: forge for name, forge in module.items() if name.startswith("forge_")}


def check_of(name):
    return name.split("_")[1].upper()
