"""GET of an artifact under conditions and by ranges, as RFC 9110 orders them (section 13.2.2): If-Match, then If-None-Match, then If-Range with Range."""

import hashlib

import pytest

TEXT = "0123456789"
TAG = f'"{hashlib.sha256(TEXT.encode()).hexdigest()}"'
OTHER = '"other"'
PAST, FUTURE = "Mon, 01 Jan 1990 00:00:00 GMT", "Fri, 01 Jan 2100 00:00:00 GMT"
RANGE = ("Range", "bytes=2-4")
PART = "234"
WHOLE, FAILED = (200, TEXT), (412, None)
SAME, BEYOND = (304, ""), (416, None)

BUILDS = {}  # one of a kind for this module

CASES = {
    "if-match with the tag": ([("If-Match", TAG)], WHOLE),
    "if-match with any": ([("If-Match", "*")], WHOLE),
    "if-match with a list that has it, in two lines": ([("If-Match", OTHER), ("If-Match", TAG)], WHOLE),
    "if-match with another": ([("If-Match", OTHER)], FAILED),
    "if-match with the tag as a weak one": ([("If-Match", f"W/{TAG}")], FAILED),
    "if-match with the tag, then the range": ([("If-Match", TAG), RANGE], (206, PART)),
    "if-match with another, before the range": ([("If-Match", OTHER), RANGE], FAILED),
    "if-match with another, before a range after the end": ([("If-Match", OTHER), ("Range", "bytes=10-")], FAILED),
    "if-match with another, before if-none-match": ([("If-Match", OTHER), ("If-None-Match", TAG)], FAILED),
    "if-match with another, before if-range": ([("If-Match", OTHER), ("If-Range", TAG), RANGE], FAILED),
    "if-match with the tag, then if-none-match": ([("If-Match", TAG), ("If-None-Match", TAG)], SAME),
    "if-match with the tag, then if-range with another": ([("If-Match", TAG), ("If-Range", OTHER), RANGE], WHOLE),
    "if-unmodified-since says nothing": ([("If-Unmodified-Since", PAST)], WHOLE),
    "if-unmodified-since says nothing of a range": ([("If-Unmodified-Since", PAST), RANGE], (206, PART)),
    "if-modified-since says nothing": ([("If-Modified-Since", FUTURE)], WHOLE),
    "if-modified-since says nothing beside another tag": ([("If-Modified-Since", FUTURE), ("If-None-Match", OTHER)], WHOLE),
    "if-none-match before the range": ([("If-None-Match", TAG), RANGE], SAME),
    "if-none-match with the tag as a weak one": ([("If-None-Match", f"W/{TAG}")], SAME),
    "if-none-match before a range after the end": ([("If-None-Match", TAG), ("Range", "bytes=10-")], SAME),
    "if-none-match with another, then the range": ([("If-None-Match", OTHER), RANGE], (206, PART)),
    "if-range with the tag": ([("If-Range", TAG), RANGE], (206, PART)),
    "if-range with the tag, of a range after the end": ([("If-Range", TAG), ("Range", "bytes=10-")], BEYOND),
    "if-range with another": ([("If-Range", OTHER), RANGE], WHOLE),
    "if-range with another, of a range after the end": ([("If-Range", OTHER), ("Range", "bytes=10-")], WHOLE),
    "if-range with the tag as a weak one": ([("If-Range", f"W/{TAG}"), RANGE], WHOLE),
    "if-range with a list": ([("If-Range", f"{TAG}, {OTHER}"), RANGE], WHOLE),
    "if-range with any": ([("If-Range", "*"), RANGE], WHOLE),
    "if-range with a date": ([("If-Range", FUTURE), RANGE], WHOLE),
    "if-range twice": ([("If-Range", TAG), ("If-Range", OTHER), RANGE], WHOLE),
    "if-range without a range": ([("If-Range", TAG)], WHOLE),
    "range twice": ([RANGE, ("Range", "bytes=5-6")], WHOLE),
    "a range in capitals": ([("Range", "BYTES=2-4")], (206, PART)),
}  # fmt: skip


@pytest.fixture(name="path")
def path_fixture(kiln):
    """Of an artifact whose content is TEXT."""
    if "path" not in BUILDS:
        build = kiln.wait_end(kiln.run(kiln.seeded()[0], f"printf {TEXT} > x.txt", artifacts=["x.txt"]))
        assert build["result"]["artifacts"][0]["sha256"] == TAG.strip('"')
        BUILDS["path"] = f"/builds/{build['task_id']}/artifacts/x.txt"
    return BUILDS["path"]


@pytest.mark.parametrize("headers, expected", CASES.values(), ids=CASES.keys())
def test_conditions_and_ranges_are_taken_in_their_order(kiln, path, headers, expected):
    answer = kiln.api.plain("GET", path, headers=headers)
    status, text = expected
    assert answer.status_code == status, answer.text
    assert text is None or answer.text == text
    if status in (200, 206, 304):
        assert answer.headers["etag"] == TAG and answer.headers["cache-control"] == "private, no-cache" and "vary" in answer.headers


@pytest.mark.parametrize("headers, expected", [case for case in CASES.values() if case[1] in (WHOLE, FAILED, SAME)])
def test_a_head_is_told_the_same_but_of_ranges(kiln, path, headers, expected):
    answer = kiln.api.plain("HEAD", path, headers=headers)
    assert (answer.status_code, answer.content) == (expected[0], b"")


@pytest.mark.parametrize("condition", [("If-None-Match", TAG), ("If-None-Match", "*"), ("If-Match", OTHER), ("If-Match", "malformed")])
def test_no_condition_holds_of_what_is_not_there(kiln, path, condition):
    answer = kiln.api.plain("GET", path + "x", headers=[condition, RANGE])
    assert answer.status_code == 404
