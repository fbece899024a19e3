"""Projects: made, read, listed, changed, deleted."""

import pytest
from kiln_testing.agents import spec, waiting_spec
from kiln_testing.client import pointers, slug
from kiln_testing.services import ready_gateway


def test_a_project_has_what_it_was_given_and_defaults(kiln):
    name = kiln.name()
    agent = {"provider": "claude-code", "model": "claude-sonnet-4-5", "max_turns": 7}
    answer = kiln.api.post(
        "/projects",
        {
            "name": name,
            "git_url": "https://git.example.org/acme/shop.git",
            "branch": "release/1.x",
            "credential": "acme",
            "concurrency": 3,
            "agent": agent,
            "description": "The shop",
            "metadata": {"team": "checkout"},
        },
        expect=201,
    )
    project = answer.json()
    assert answer.headers["location"] in (f"/projects/{project['id']}", f"/projects/{name}")
    assert project["version"] == 1 and answer.headers["etag"] == kiln.etag(f"/projects/{name}")
    assert project["git_url"] == "https://git.example.org/acme/shop.git"
    assert project["agent"] == agent | {"command": None, "max_tokens": None, "budget_usd": None}
    assert (project["branch"], project["credential"], project["concurrency"]) == ("release/1.x", "acme", 3)
    assert (project["description"], project["metadata"]) == ("The shop", {"team": "checkout"})

    plain = kiln.project()
    assert plain["git_url"] == f"{kiln.system.env['KILN_GIT_URL']}/{plain['name']}.git"
    assert [plain[key] for key in ("branch", "concurrency", "agent", "description")] == [None] * 4
    assert plain["metadata"] == {}


def test_a_project_is_read_by_id_and_by_name_without_its_secret(kiln):
    project = kiln.project()
    secret = project.pop("webhook_secret")
    assert len(secret) > 30
    for key in (project["id"], project["name"]):
        answer = kiln.api.get(f"/projects/{key}", expect=200)
        assert answer.json() == project
        assert answer.headers["etag"] == kiln.etag(f"/projects/{project['id']}")
        assert secret not in answer.text


def test_a_name_is_taken_once(kiln):
    project = kiln.project()
    assert slug(kiln.api.post("/projects", {"name": project["name"]}, expect=409)) == "project-exists"


@pytest.mark.parametrize(
    "name",
    ["", "A", "-a", "a_b", "a" * 64, "ä", "a/b", "a b", "create-and-build", "0198c1de-7a3b-7c4d-8e5f-0123456789ab"],
)
def test_a_bad_name_is_422(kiln, name):
    assert "/name" in pointers(kiln.api.post("/projects", {"name": name}, expect=422))


def test_lists_are_complete_and_newest_first(kiln):
    names = [kiln.project()["name"] for _ in range(5)]
    client = kiln.token(["projects:read"], projects=names)
    assert [item["name"] for item in client.pages("/projects", limit=2)] == names[::-1]
    assert [item["name"] for item in client.pages("/projects")] == names[::-1]


def test_a_change_needs_the_current_etag(kiln):
    project = kiln.project()
    path = f"/projects/{project['name']}"
    assert slug(kiln.api.patch(path, {"concurrency": 2}, expect=428)) == "precondition-required"
    old = kiln.etag(path)
    changed = kiln.api.patch(path, {"concurrency": 2}, headers={"If-Match": old}, expect=200)
    assert changed.json()["concurrency"] == 2 and changed.headers["etag"] == kiln.etag(path) != old
    assert slug(kiln.api.patch(path, {"concurrency": 5}, headers={"If-Match": old}, expect=412)) == "precondition-failed"
    assert kiln.api.get(path, expect=200).json() == changed.json()


def test_a_merge_patch_changes_what_it_names_and_null_resets(kiln):
    project = kiln.project(branch="dev", description="x", agent={"provider": "command", "command": "a"})
    path = f"/projects/{project['id']}"
    headers = {"If-Match": kiln.etag(path), "Content-Type": "application/merge-patch+json"}
    changed = kiln.api.patch(path, {"branch": None, "agent": {"provider": "command", "command": "b"}}, headers=headers, expect=200).json()
    assert changed["branch"] is None and changed["description"] == "x" and changed["agent"]["command"] == "b"
    assert changed["version"] == 2 and changed["updated_at"] > project["updated_at"]
    assert changed["created_at"] == project["created_at"]


def test_a_patch_is_told_all_that_is_wrong_with_it_at_once(kiln):
    path = f"/projects/{kiln.project()['id']}"
    patch = {"concurrency": 0, "git_url": "http://10.0.0.1/x", "network": {"allow": ["10.0.0.1:80"]}, "colour": "red"}
    answer = kiln.api.patch(path, patch, headers={"If-Match": kiln.etag(path)}, expect=422)
    assert sorted(pointers(answer)) == ["/colour", "/concurrency", "/git_url", "/network/allow/0"]


def test_a_change_that_changes_nothing_makes_no_version(kiln):
    given = {"concurrency": 2, "agent": {"provider": "command", "command": "a"}, "network": {"allow": ["example.org:443"]}, "metadata": {"a": "b"}, "description": "d"}
    path = f"/projects/{kiln.project(**given)['id']}"
    before = kiln.api.get(path, expect=200)
    for patch in ({}, *[{field: value} for field, value in given.items()], {"branch": None}, {"agent": {"command": "a"}}):
        answer = kiln.api.patch(path, patch, headers={"If-Match": before.headers["etag"]}, expect=200)
        assert answer.json() == before.json() and answer.headers["etag"] == before.headers["etag"]
    assert kiln.api.patch(path, given | {"description": None}, headers={"If-Match": before.headers["etag"]}, expect=200).json()["version"] == 2


def test_metadata_that_grew_too_large_by_a_change_is_422(kiln):
    path = f"/projects/{kiln.project(metadata={f'k{n}': 'x' * 4096 for n in range(10)})['id']}"
    answer = kiln.api.patch(path, {"metadata": {f"m{n}": "x" * 4096 for n in range(10)}}, headers={"If-Match": kiln.etag(path)}, expect=422)
    assert set(pointers(answer)) == {"/metadata"}


def test_unknown_and_fixed_fields_of_a_change_are_422(kiln):
    project = kiln.project()
    answer = kiln.api.patch(
        f"/projects/{project['id']}", {"name": "other", "colour": "red", "concurrency": 0}, headers={"If-Match": '"1"'}, expect=422
    )
    assert set(pointers(answer)) == {"/name", "/colour", "/concurrency"}


def test_a_deleted_project_is_gone_and_its_name_free_but_its_builds_stay(kiln):
    project, _ = kiln.seeded()
    task = kiln.run(project, "true")
    kiln.wait_end(task)
    kiln.api.delete(f"/projects/{project['name']}", expect=204)
    kiln.api.get(f"/projects/{project['id']}", expect=404)
    kiln.api.get(f"/projects/{project['name']}", expect=404)
    kiln.api.post(f"/projects/{project['id']}/builds", {"prompt": "x"}, expect=404)
    build = kiln.api.get(f"/builds/{task}", expect=200).json()
    assert build["project"] == {"id": project["id"], "name": project["name"]}
    again = kiln.project(name=project["name"])
    assert again["id"] != project["id"]


def test_a_project_that_was_made_anew_under_a_name_is_not_taken_for_the_one_that_was_read(kiln):
    project = kiln.project()
    path = f"/projects/{project['name']}"
    old = kiln.etag(path)
    kiln.api.delete(path, headers={"If-Match": old}, expect=204)
    again = kiln.project(name=project["name"])
    assert again["version"] == project["version"]
    assert kiln.api.get(path, headers={"If-None-Match": old}, expect=200).json()["id"] == again["id"]
    kiln.api.patch(path, {"concurrency": 2}, headers={"If-Match": old}, expect=412)
    kiln.api.delete(path, headers={"If-Match": old}, expect=412)


def test_a_project_with_an_active_build_is_not_deleted(kiln):
    project = kiln.project()
    task = kiln.post(project, waiting_spec())
    kiln.wait_phase(task, "queued")
    answer = kiln.api.delete(f"/projects/{project['id']}", expect=409)
    assert slug(answer) == "project-has-active-builds"
    kiln.cancel(task)
    kiln.wait_end(task)
    kiln.api.delete(f"/projects/{project['id']}", expect=204)


def test_what_happens_to_a_project_is_on_its_topic(kiln):
    project = kiln.project(description="x")
    headers = {"If-Match": kiln.etag(f"/projects/{project['id']}")}
    kiln.api.patch(f"/projects/{project['id']}", {"description": "x"}, headers=headers, expect=200)  # which it is
    kiln.api.patch(f"/projects/{project['id']}", {"concurrency": 2}, headers=headers, expect=200)
    kiln.api.delete(f"/projects/{project['id']}", expect=204)

    def all_three():
        found = [r for r in kiln.tap.records if r.topic == "kiln.project.events" and r.key == project["id"]]
        types = list(dict.fromkeys(r.type for r in found))
        return found if types == ["project.created", "project.changed", "project.deleted"] else None

    first, second, *_ = kiln.tap.wait(all_three, "three project events")
    assert first.data["project"]["concurrency"] is None and second.data["project"]["concurrency"] == 2
    secret = project["webhook_secret"].removeprefix("whsec_").encode()
    assert all(secret not in record.value for record in kiln.tap.records)


@pytest.mark.parametrize("key", ["nobody", "0198c1de-7a3b-7c4d-8e5f-0123456789ab", "NOBODY", "a" * 64, "%C3%A4", "a%2Fb"])
def test_an_unknown_project_is_404(kiln, key):
    kiln.api.get(f"/projects/{key}", expect=404)
    kiln.api.get(f"/projects/{key}/builds", expect=404)
    kiln.api.delete(f"/projects/{key}", expect=404)
    kiln.api.post(f"/projects/{key}/builds", {"prompt": "x"}, expect=404)


def test_create_and_build_uses_an_equal_project_and_refuses_another(kiln):
    body = {"project": {"name": kiln.name(), "concurrency": 2}, "build": waiting_spec()}
    first = kiln.api.post("/project/create-and-build", body, expect=202).json()
    assert "webhook_secret" in first["project"]
    kiln.tap.wait_type(first["task_id"], "build.pending")
    second = kiln.api.post("/project/create-and-build", body, expect=202).json()
    assert "webhook_secret" not in second["project"]
    assert second["project"]["id"] == first["project"]["id"] and second["task_id"] != first["task_id"]
    less = {"project": {"name": body["project"]["name"]}, "build": body["build"]}
    third = kiln.api.post("/project/create-and-build", less, expect=202).json()
    body["project"]["concurrency"] = 3
    assert slug(kiln.api.post("/project/create-and-build", body, expect=409)) == "project-exists"
    for answer in (first, second, third):
        kiln.cancel(answer["task_id"])


def test_create_and_build_uses_an_equal_project_also_where_a_new_one_would_need_its_git_url(kiln):
    project = kiln.project(git_url="https://example.org/x.git")
    build = waiting_spec()
    with ready_gateway(kiln.system, KILN_GIT_BASE_URL="", KILN_GIT_BASE_CREDENTIAL="") as gateway:
        there = kiln.at(gateway)
        answer = there.post("/project/create-and-build", {"project": {"name": project["name"]}, "build": build}, expect=202).json()
        assert answer["project"]["id"] == project["id"]
        kiln.cancel(answer["task_id"])
        new = there.post("/project/create-and-build", {"project": {"name": kiln.name()}, "build": build}, expect=422)
        assert set(pointers(new)) == {"/project/git_url"}


def test_create_and_build_validates_all_before_it_makes_anything(kiln):
    name = kiln.name()
    body = {"project": {"name": name, "colour": "red"}, "build": {"promt": "x"}, "extra": 1}
    answer = kiln.api.post("/project/create-and-build", body, expect=422)
    assert set(pointers(answer)) >= {"/project/colour", "/build/prompt", "/build/promt", "/extra"}
    kiln.api.get(f"/projects/{name}", expect=404)


def test_create_and_build_names_the_templates_variables_beside_all_else(kiln):
    template = kiln.api.post("/templates", {"name": kiln.name("t"), "text": "{{a}}"}, expect=201).json()["name"]
    build = spec("none", template=template, variables={"b": "x"}, auto_commit=False, auto_push=True)
    body = {"project": {"name": kiln.name(), "concurrency": 0}, "build": build}
    answer = kiln.api.post("/project/create-and-build", body, expect=422)
    assert set(pointers(answer)) == {"/project/concurrency", "/build/auto_push", "/build/variables/a", "/build/variables/b"}


@pytest.mark.parametrize(
    ("project", "build", "pointer"),
    [
        ({"agent": "command"}, {"prompt": "x"}, "/project/agent"),
        ({"agent": {"provider": "comand", "command": "none"}}, {"prompt": "x"}, "/project/agent/provider"),
        ({"git_url": "git@example.org:x.git"}, spec("none"), "/project/git_url"),
        ({}, {"prompt": "x"}, "/build/agent"),
    ],
    ids=str,
)
def test_create_and_build_tells_one_mistake_once(kiln, project, build, pointer):
    body = {"project": {"name": kiln.name()} | project, "build": build}
    (error,) = kiln.api.post("/project/create-and-build", body, expect=422).json()["errors"]
    assert error["pointer"] == pointer
