"""gzip for those who ask for it: the same JSON in fewer bytes, and its ETag is the same but weak."""

import gzip
import json

import pytest
from kiln_testing.agents import waiting_spec
from kiln_testing.waiting import wait_for


def raw(kiln, path, accept_encoding, **headers):
    """The answer as it was sent: (answer, bytes). httpx would decode it."""
    headers = {"Accept-Encoding": accept_encoding} | headers

    def decided():
        with kiln.api.http.stream("GET", path, headers=headers) as answer:
            return (answer, b"".join(answer.iter_raw())) if answer.status_code != 503 else None

    return wait_for(decided, f"a decision about {path}", poll=0.5)


@pytest.fixture(name="path")
def path_fixture(kiln):
    """Of a build that is long enough."""
    task = kiln.post(kiln.project(), waiting_spec(metadata={f"key-{i}": "value " * 20 for i in range(20)}))
    kiln.wait_phase(task, "queued")
    yield f"/builds/{task}"
    kiln.cancel(task)


def test_the_coded_answer_is_the_same_one_with_a_weak_tag(kiln, path):
    plain, text = raw(kiln, path, "identity")
    coded, data = raw(kiln, path, "br;q=1.0, gzip;q=0.8, *;q=0.1")
    assert "content-encoding" not in plain.headers and coded.headers["content-encoding"] == "gzip"
    assert gzip.decompress(data) == text and len(data) < len(text) / 2
    assert int(coded.headers["content-length"]) == len(data)
    assert coded.headers["etag"] == f"W/{plain.headers['etag']}"
    assert coded.headers["vary"] == plain.headers["vary"] == "accept-encoding"
    # The contract is judged by what httpx decodes, which asks for gzip too.
    assert kiln.api.get(path, expect=200).content == text


def test_both_tags_are_known_whatever_the_coding(kiln, path):
    tags = [raw(kiln, path, coding)[0].headers["etag"] for coding in ("identity", "gzip")]
    for coding, expected in (("identity", tags[0]), ("gzip", tags[1])):
        for tag in tags:
            answer, data = raw(kiln, path, coding, **{"If-None-Match": tag})
            assert (answer.status_code, data, answer.headers["etag"]) == (304, b"", expected)
            assert answer.headers["vary"] == "accept-encoding" and "content-encoding" not in answer.headers


def test_if_match_takes_no_list_for_the_weak_tag_of_a_coded_answer(kiln, path):
    strong, weak = (raw(kiln, path, coding)[0].headers["etag"] for coding in ("identity", "gzip"))
    for coding, tags, expected in (
        ("identity", strong, 200), ("identity", weak, 412), ("gzip", strong, 412), ("gzip", weak, 412), ("gzip", "*", 200),
    ):  # fmt: skip
        assert raw(kiln, path, coding, **{"If-Match": tags})[0].status_code == expected, (coding, tags)


def test_a_head_tells_of_the_coded_answer(kiln, path):
    coded, data = raw(kiln, path, "gzip")
    head = kiln.api.plain("HEAD", path, headers={"Accept-Encoding": "gzip"})
    assert (head.headers["content-length"], head.headers["etag"]) == (str(len(data)), coded.headers["etag"])


@pytest.mark.parametrize("accept_encoding", ["", "br", "gzip;q=0", "identity, gzip;q=0.5", "*;q=0"])
def test_who_does_not_ask_for_gzip_gets_the_text(kiln, path, accept_encoding):
    answer, data = raw(kiln, path, accept_encoding)
    assert "content-encoding" not in answer.headers and json.loads(data)["status"] == "pending"


def test_short_answers_and_errors_are_not_coded(kiln):
    for path in ("/me", "/projects/nobody"):
        answer, data = raw(kiln, path, "gzip")
        assert "content-encoding" not in answer.headers and json.loads(data)


def test_a_project_keeps_the_strong_tag_that_a_change_needs(kiln):
    project = kiln.project(metadata={f"key-{i}": "value " * 20 for i in range(20)})
    answer, data = raw(kiln, f"/projects/{project['id']}", "gzip")
    assert len(data) > 1024 and "content-encoding" not in answer.headers
    kiln.api.patch(f"/projects/{project['id']}", {"concurrency": 2}, headers={"If-Match": answer.headers["etag"]}, expect=200)


def test_the_contract_is_coded_ahead(kiln):
    plain, text = raw(kiln, "/openapi.json", "identity")
    coded, data = raw(kiln, "/openapi.json", "gzip")
    assert gzip.decompress(data) == text
    assert coded.headers["etag"] == f"W/{plain.headers['etag']}"


def test_logs_as_text_are_coded_and_streams_are_not(kiln):
    project, _ = kiln.seeded()
    task = kiln.run(project, "for i in $(seq 200); do echo a line of the log that is like all others; done")
    kiln.wait_end(task)
    assert len(kiln.log(task)) >= 200
    answer, data = raw(kiln, f"/builds/{task}/logs?limit=500", "gzip", Accept="text/plain")
    assert answer.headers["content-encoding"] == "gzip" and answer.headers["vary"] == "accept, accept-encoding"
    assert gzip.decompress(data).count(b"like all others") == 200
    stream, events = raw(kiln, f"/builds/{task}/logs?limit=500", "gzip", Accept="text/event-stream")
    assert "content-encoding" not in stream.headers and b"like all others" in events
