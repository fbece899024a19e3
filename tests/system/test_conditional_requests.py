"""ETag, If-None-Match and If-Match by RFC 9110, and what caches may keep."""

import pytest
from kiln_testing.agents import waiting_spec
from kiln_testing.client import slug


def etag(kiln, path, **kwargs):
    return kiln.api.get(path, expect=200, **kwargs).headers["etag"]


def unchanged(kiln, path, tags, **headers):
    """A GET that must be 304, of a connection that stays open."""
    answer = kiln.api.get(path, headers={"If-None-Match": tags} | headers, expect=304)
    assert answer.content == b"" and "content-type" not in answer.headers
    assert answer.headers.get("connection", "").lower() != "close"
    return answer


@pytest.fixture(name="waiting")
def waiting_fixture(kiln):
    """(path, task) of a build that nobody takes, as Postgres has it."""
    task = kiln.post(kiln.project(), waiting_spec())
    kiln.wait_phase(task, "queued")
    yield f"/builds/{task}", task
    kiln.cancel(task)


def test_a_build_that_has_not_changed_is_304_with_its_etag(kiln, waiting):
    path, _ = waiting
    tag = etag(kiln, path)
    for tags in (tag, f"W/{tag}", f'"x", {tag}', f'W/"y" ,, {tag},', "*"):
        answer = unchanged(kiln, path, tags)
        assert answer.headers["etag"] == tag and answer.headers["cache-control"] == "private, no-cache"


def test_tags_in_several_lines_are_one_list(kiln, waiting):
    path, _ = waiting
    headers = [("If-None-Match", '"x"'), ("If-None-Match", etag(kiln, path))]
    assert kiln.api.plain("GET", path, headers=headers).status_code == 304


def test_a_build_has_another_etag_with_every_change_of_its_answer(kiln, waiting):
    path, task = waiting
    tags = [etag(kiln, path)]
    kiln.cancel(task)
    kiln.wait_end(task)
    answer = kiln.api.get(path, headers={"If-None-Match": tags[0]}, expect=200)
    assert answer.json()["status"] == "cancelled" and answer.headers["etag"] != tags[0]
    unchanged(kiln, path, answer.headers["etag"])


def test_if_match_of_a_get_takes_the_same_strong_tag_only(kiln, waiting):
    path, _ = waiting
    tag = etag(kiln, path)
    kiln.api.get(path, headers={"If-Match": tag}, expect=200)
    for tags in ('"x"', f"W/{tag}"):
        answer = kiln.api.get(path, headers={"If-Match": tags, "If-None-Match": tag}, expect=412)
        assert slug(answer) == "precondition-failed"


def test_a_write_under_if_none_match_is_412_when_it_names_what_is_there(kiln):
    path = f"/projects/{kiln.project()['id']}"
    for tags in (kiln.etag(path), "*"):
        kiln.api.patch(path, {"concurrency": 2}, headers={"If-Match": "*", "If-None-Match": tags}, expect=412)
        kiln.api.delete(path, headers={"If-None-Match": tags}, expect=412)
    kiln.api.patch(path, {"concurrency": 2}, headers={"If-Match": "*", "If-None-Match": '"7"'}, expect=200)


@pytest.mark.parametrize("tags", ["x", '"x', "*, *", '"a" "b"'])
def test_what_is_no_list_of_tags_is_400(kiln, tags):
    assert slug(kiln.api.get("/me", headers={"If-None-Match": tags}, expect=400)) == "bad-request"
    assert slug(kiln.api.get("/me", headers={"If-Match": tags}, expect=400)) == "bad-request"


def test_answers_may_be_kept_only_where_they_can_be_asked_for_again(kiln):
    project = kiln.api.post("/projects", {"name": kiln.name()}, expect=201)
    missing = kiln.api.get("/projects/nobody", expect=404)
    assert [answer.headers["cache-control"] for answer in (project, missing)] == ["no-store"] * 2
    assert kiln.api.get("/me", expect=200).headers["cache-control"] == "private, no-cache"
    assert kiln.api.get("/openapi.json", expect=200).headers["cache-control"] == "no-cache"
    assert "accept" in kiln.api.get("/problems/not-found", expect=200).headers["vary"].lower()
