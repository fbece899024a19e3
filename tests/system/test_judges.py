"""The judges of the other tests bite: each broken promise is seen."""

import hashlib

import pytest
import rfc8785
from kiln_testing import contract, jsonschemas, records, trail

BUILD = "0198c1de-7a3b-7c4d-8e5f-0123456789ab"
PARTITIONS = {topic: 12 for topic in records.TOPICS}
TIME = "2025-11-23T12:00:00.000000Z"


def data(sequence, **changes):
    return {
        "build_id": BUILD,
        "project": {"id": BUILD, "name": "demo"},
        "status": "pending",
        "phase": "queued",
        "attempt": 0,
        "sequence": sequence,
        "metadata": {},
    } | changes


class Message:
    """A record as the client library gives it."""

    def __init__(self, type, value, sequence, hash_, **changes):
        self.value_ = value
        self.headers_ = {
            "ce_specversion": "1.0",
            "ce_id": f"build/{BUILD}/{sequence}",
            "ce_type": type,
            "ce_source": "/kiln/build-service",
            "ce_subject": BUILD,
            "ce_time": TIME,
            "ce_dataschema": f"urn:kiln:schema:{type}",
            "content-type": "application/json",
            "ce_sequence": f"{sequence:010}",
            "ce_hash": hash_,
        } | {name: value for name, value in changes.items() if name.startswith(("ce_", "content"))}
        self.partition_ = changes.get("partition", records.partition_of(BUILD.encode(), 12))

    def topic(self):
        return "kiln.build.events"

    def partition(self):
        return self.partition_

    def offset(self):
        return 0

    def key(self):
        return BUILD.encode()

    def headers(self):
        return [(name, value.encode()) for name, value in self.headers_.items() if value is not None]

    def value(self):
        return self.value_


def judged(*messages):
    judge = records.Judge(PARTITIONS)
    for message in messages:
        judge.see(records.Record(message))
    return judge.wrong


def chain(*items):
    """Messages of (type, data) with a right chain."""
    previous, found = bytes(32), []
    for sequence, (type, value) in enumerate(items, 1):
        body = rfc8785.dumps(value)
        previous = hashlib.sha256(previous + body).digest()
        found.append(Message(type, body, sequence, previous.hex()))
    return found


PENDING = ("build.pending", data(1))
PHASE = ("build.phase", data(2, phase="assigned", worker_id=BUILD))


def test_a_right_chain_is_right_also_when_it_is_repeated():
    messages = chain(PENDING, PHASE)
    assert judged(*messages) == [] == judged(*messages, *messages)


@pytest.mark.parametrize(
    "name, value",
    [
        ("ce_hash", "0" * 64),
        ("ce_sequence", "0000000007"),
        ("ce_id", "build/x/1"),
        ("ce_type", "build.sung"),
        ("ce_subject", None),
        ("ce_time", "2025-11-23"),
        ("content-type", "text/plain"),
        ("ce_specversion", "0.3"),
        ("partition", 99),
    ],
)
def test_a_wrong_header_is_seen(name, value):
    (message,) = chain(PENDING)
    wrong = Message("build.pending", message.value(), 1, message.headers_["ce_hash"], **{name: value})
    assert judged(wrong)


@pytest.mark.parametrize(
    "value",
    [
        data(1, extra=1),
        data(1, status="running"),
        data(1, project={"id": BUILD, "name": "demo", "x": 1}),
        {k: v for k, v in data(1).items() if k != "metadata"},
        data(1, build_id=BUILD.upper()),
    ],
    ids=["extra", "status", "inner extra", "missing", "upper case"],
)
def test_wrong_data_is_seen(value):
    assert judged(*chain(("build.pending", value)))


def test_a_gap_and_an_event_after_the_end_are_seen():
    first, second = chain(PENDING, PHASE)
    assert judged(second)
    result = {
        "success": False,
        "output": None,
        "error": {"class": "cancelled", "message": "x"},
        "commit_sha": None,
        "branch": None,
        "files_changed": [],
        "duration_ms": 0,
        "artifacts": [],
        "agent": None,
        "pipelines": [],
    }
    end = ("build.cancelled", data(2, status="cancelled", phase=None, result=result))
    assert judged(*chain(PENDING, end)) == []
    assert judged(*chain(PENDING, end, ("build.phase", data(3, phase="assigned", worker_id=BUILD))))
    assert first


def test_a_value_that_is_not_canonical_is_seen():
    body = b'{"status":"pending", ' + rfc8785.dumps(data(1)).replace(b',"status":"pending"', b"")[1:]
    digest = hashlib.sha256(bytes(32) + body).hexdigest()
    assert any("canonical" in text for text in judged(Message("build.pending", body, 1, digest)))


def test_a_broken_trail_is_seen():
    item = {
        "sequence": 1,
        "type": "build.pending",
        "time": TIME,
        "attempt": 0,
        "data": data(1),
        "hash": hashlib.sha256(bytes(32) + rfc8785.dumps(data(1))).hexdigest(),
    }
    assert trail.verify([item]) == ["build.pending"]
    for change in ({"hash": "0" * 64}, {"sequence": 2}, {"data": data(1, metadata={"a": "b"})}):
        with pytest.raises(AssertionError):
            trail.verify([item | change])


PROBLEM = b'{"type":"/problems/not-found","title":"There is no such thing","status":404,"detail":"x","instance":"y"}'
TYPE = {"content-type": "application/problem+json", "X-Request-Id": "0af7651916cd43dd8448eb211c80319c"}


def test_a_right_answer_is_right():
    assert contract.find("GET", f"/builds/{BUILD}").judge_answer(404, TYPE, PROBLEM) == []


@pytest.mark.parametrize(
    "status, headers, body",
    [
        (418, TYPE, PROBLEM),
        (404, TYPE | {"content-type": "application/json"}, PROBLEM),
        (404, {"content-type": "application/problem+json"}, PROBLEM),
        (404, TYPE, PROBLEM.replace(b"404", b"403")),
        (404, TYPE, PROBLEM.replace(b"no such thing", b"nothing")),
        (404, TYPE, PROBLEM.replace(b"/problems/not-found", b"/problems/gone-fishing")),
        (404, TYPE, PROBLEM[:-1] + b',"stack":"trace"}'),
        (404, TYPE, PROBLEM[:-1] + b',"status":404}'),
        (404, TYPE, b""),
        (401, TYPE, PROBLEM),
        (200, TYPE | {"content-type": "application/json"}, b"{}"),
    ],
    ids=["status", "media type", "no id", "status in the body", "title", "type", "extra", "duplicate", "empty", "header", "schema"],
)
def test_a_wrong_answer_is_seen(status, headers, body):
    assert contract.find("GET", f"/builds/{BUILD}").judge_answer(status, headers, body)


UNKNOWN = (
    b'{"type":"/problems/outcome-unknown","title":"Whether the request was accepted is not known","status":503,'
    b'"detail":"x","instance":"y","outcome":"unknown"}'
)
TOLD = UNKNOWN[:-1] + b',"task_id":"' + BUILD.encode() + b'"}'
LATER = TYPE | {"Retry-After": "1"}


@pytest.mark.parametrize(
    "path, body, ok",
    [
        ("/projects", UNKNOWN, True),
        ("/projects", UNKNOWN.replace(b',"outcome":"unknown"', b""), False),
        ("/project/create-and-build", TOLD, True),
        ("/project/create-and-build", UNKNOWN, False),
    ],
    ids=["a write", "no outcome", "a build", "a build without its id"],
)
def test_what_is_not_known_must_say_so_and_of_which_build(path, body, ok):
    assert (contract.find("POST", path).judge_answer(503, LATER, body) == []) is ok


def test_an_outcome_of_what_is_known_is_seen():
    for more in (b',"outcome":"unknown"}', b',"task_id":"' + BUILD.encode() + b'"}'):
        assert contract.find("GET", f"/builds/{BUILD}").judge_answer(404, TYPE, PROBLEM[:-1] + more)


def test_paths_find_their_operations():
    assert contract.find("POST", "/project/create-and-build").id == "createAndBuild"
    assert contract.find("POST", "/project/demo/build").id == "createBuildAlias"
    assert contract.find("PUT", "/projects") is None and contract.methods_of("/projects") == ["GET", "POST"]


@pytest.mark.parametrize(
    "text, ok",
    [("x" * 262144, True), ("x" * 262145, False), ("ä" * 131072, True), ("ä" * 131073, False), ("", False)],
    ids=["full", "over", "full of two", "over by two", "empty"],
)
def test_byte_limits_count_bytes(text, ok):
    assert (jsonschemas.problems("build-spec.json", {"prompt": text}) == []) is ok


def test_murmur2_is_kafkas():
    # From Kafka's own UtilsTest.
    known = {b"21": -973932308, b"foobar": -790332482, b"a-little-bit-long-string": -985981536, b"abc": 479470107}
    for key, value in known.items():
        assert records.murmur2(key) == value & 0xFFFFFFFF
