"""What one gateway has changed, another one that has it in memory goes by at once."""

import secrets
import uuid

import pytest
from kiln_testing.agents import WAITS, waiting_spec
from kiln_testing.changes import assert_prompt, assert_told, patch, spec_at
from kiln_testing.waiting import seconds_until, wait_for

PROJECT_REMOVED_WITHIN_S = 5  # without a word it would stay for ten minutes


@pytest.fixture(name="there")
def there_fixture(kiln, other_gateway):
    client = kiln.at(other_gateway)
    yield client
    client.close()


def test_a_changed_project_is_built_as_changed_at_another_gateway(kiln, there):
    assert_told(kiln, there)


def test_all_that_a_project_gives_to_its_builds_is_seen_at_another_gateway(kiln, there):
    project = kiln.project(agent={"provider": "command", "command": "old"})
    there.post(f"/projects/{project['id']}/builds", {"prompt": "x", **WAITS}, expect=202)
    agent, network = {"provider": "command", "command": "new"}, {"allow": ["example.org:443"]}
    patch(kiln, project, {"agent": agent, "network": network, "branch": "new"})

    def seen():
        answer = there.post(f"/projects/{project['name']}/builds", {"prompt": "x", **WAITS}, expect=202)
        resolved = kiln.build(answer.json()["task_id"])["spec"]
        return resolved["branch"] == "new" and resolved["agent"]["command"] == "new" and resolved["network"] == network

    wait_for(seen, "the change to be seen")


def test_a_name_that_was_given_anew_is_the_new_project_at_another_gateway(kiln, there):
    def change(_):
        old = kiln.project()
        there.get(f"/projects/{old['name']}/builds", expect=200)  # it knows the project
        kiln.api.delete(f"/projects/{old['id']}", expect=204)
        new = kiln.project(name=old["name"])

        def seen():
            answer = there.post(f"/projects/{old['name']}/builds", waiting_spec(), expect=202)
            return kiln.build(answer.json()["task_id"])["project"]["id"] == new["id"]

        return seen

    assert_prompt(change)


def test_a_project_of_a_name_that_was_given_anew_is_changed_and_deleted_at_another_gateway(kiln, there):
    """Also at once: no 404 for a name that there is."""
    for _ in range(5):
        old = kiln.project()
        there.get(f"/projects/{old['name']}/builds", expect=200)
        kiln.api.delete(f"/projects/{old['id']}", expect=204)
        new = kiln.project(name=old["name"])
        changed = there.patch(f"/projects/{old['name']}", {"branch": "x"}, headers={"If-Match": "*"}, expect=200).json()
        assert changed["id"] == new["id"]
        there.delete(f"/projects/{old['name']}", expect=204)


def test_a_new_version_of_a_template_is_rendered_at_another_gateway(kiln, there):
    project, name = kiln.project()["id"], kiln.name("t")
    kiln.api.post("/templates", {"name": name, "text": "old"}, expect=201)
    assert spec_at(kiln, there, project, template=name)["template"] == f"{name}@1"  # it knows the template

    def change(number):
        made = kiln.api.post("/templates", {"name": name, "text": f"new {number}"}, expect=201).json()
        return lambda: spec_at(kiln, there, project, template=name)["template"] == f"{name}@{made['version']}"

    assert_prompt(change)


def test_an_old_version_of_a_template_that_was_asked_for_is_not_the_newest(kiln, there):
    project, name = kiln.project()["id"], kiln.name("t")
    for text in ("one", "two"):
        kiln.api.post("/templates", {"name": name, "text": text}, expect=201)
    assert spec_at(kiln, there, project, template=f"{name}@1")["prompt"].startswith("one")
    assert spec_at(kiln, there, project, template=name)["prompt"].startswith("two")
    assert spec_at(kiln, there, project, template=f"{name}@1")["prompt"].startswith("one")


def test_a_project_that_the_build_service_removes_is_gone_at_every_gateway(kiln, there):
    """One of create-and-build whose build never came. Its row goes, so nothing is left to look at."""
    name = kiln.name()
    kiln.system.sql(
        "insert into projects (id, name, webhook_secret, provisional_build) values (%s, %s, %s, %s)",
        uuid.uuid4(),
        name,
        secrets.token_bytes(32),
        uuid.uuid4(),
    )
    for client in (kiln.api, there):
        client.get(f"/projects/{name}/builds", expect=200)
    kiln.system.sql("update projects set created_at = now() - interval '2 hours' where name = %s", name)
    wait_for(lambda: kiln.system.sql("select count(*) from projects where name = %s", name) == [(0,)], "the project to be removed")
    for client in (kiln.api, there):
        took_s = seconds_until(lambda client=client: client.get(f"/projects/{name}/builds").status_code == 404, "the project to be unknown")
        assert took_s < PROJECT_REMOVED_WITHIN_S
