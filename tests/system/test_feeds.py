"""The feeds of a project and of everything: each event once, from any place that was told."""

import base64
import contextlib

import pytest
from kiln_testing.agents import Gate
from kiln_testing.client import Client, slug
from kiln_testing.kiln import Kiln
from kiln_testing.services import ready_gateway
from kiln_testing.streams import EventStream, lines
from kiln_testing.waiting import wait_for

TERMINAL = ("build.completed", "build.failed", "build.cancelled")


def numbered(events, topic="build_id"):
    """{build: its sequences in the order of the feed}."""
    found = {}
    for event in events:
        if event.type.startswith("build."):
            found.setdefault(event.json[topic], []).append(event.json["sequence"])
    return found


def test_a_projects_feed_has_its_builds_and_no_others(kiln):
    project, _ = kiln.seeded()
    other, _ = kiln.seeded()
    with EventStream(kiln.api, f"/projects/{project['name']}/events") as stream:
        wait_for(lambda: stream.last_id, "the feed's place")
        tasks = [kiln.run(project, "true") for _ in range(3)]
        foreign = kiln.run(other, "true")
        for task in (*tasks, foreign):
            kiln.wait_end(task)
        wait_for(lambda: sum(event.type in TERMINAL for event in stream.events) == 3, "the ends of three builds")
    found = numbered(stream.events)
    assert found == {task: list(range(1, len(kiln.trail(task)) + 1)) for task in tasks}
    one = next(event for event in stream.events if event.type == "build.completed")
    assert one.json == kiln.trail(one.json["build_id"])[-1]["data"]


def test_a_feed_tells_of_the_project_to_those_who_may_read_projects(kiln):
    project = kiln.project()
    reader, narrow = kiln.token(["builds:read", "projects:read"]), kiln.token(["builds:read"])
    path = f"/projects/{project['id']}"
    with EventStream(reader, f"{path}/events") as full, EventStream(narrow, f"{path}/events") as poor:
        wait_for(lambda: full.last_id and poor.last_id, "both feeds' places")
        etag = kiln.api.get(path, expect=200).headers["etag"]
        kiln.api.patch(path, {"description": "new"}, headers={"If-Match": etag}, expect=200)
        changed = full.wait_type("project.changed")
        task = kiln.waiting(project)
        poor.wait_type("build.pending")
    assert changed.json["project"]["id"] == project["id"]
    assert [event.json["build_id"] for event in poor.events] == [task]


def builds_of(events):
    """Of a feed, which tells of projects too."""
    return [event.json["build_id"] for event in events if "build_id" in event.json]


def test_a_feed_that_is_opened_again_misses_nothing(kiln):
    project = kiln.project()
    tasks, events, last = [], [], None
    for round_ in range(6):
        with EventStream(kiln.api, f"/projects/{project['id']}/events", last_id=last) as stream:
            wait_for(lambda s=stream: s.last_id, "the feed's place")
            if round_ % 2 == 0:
                tasks.append(kiln.waiting(project))
                wait_for(lambda s=stream: tasks[-1] in builds_of(s.events), "the build just made")
        events += stream.events
        last = stream.last_id
        tasks += [kiln.waiting(project) for _ in range(2)]  # while nobody reads
        kiln.tap.wait_type(tasks[-1], "build.pending")
    with EventStream(kiln.api, f"/projects/{project['id']}/events", last_id=last) as stream:
        wait_for(lambda: set(builds_of(events + stream.events)) == set(tasks), "all builds")
        events += stream.events
    pending = [event.json["build_id"] for event in events if event.type == "build.pending"]
    assert sorted(pending) == sorted(tasks)


def test_the_feed_of_everything_is_an_admins_and_has_everything(kiln):
    assert slug(kiln.token(["builds:read"]).get("/events", expect=403)) == "forbidden"
    with EventStream(kiln.api, "/events") as stream:
        wait_for(lambda: stream.last_id, "the feed's place")
        projects = [kiln.project() for _ in range(3)]
        tasks = [kiln.waiting(project) for project in projects]
        wanted = {("project.created", project["id"]) for project in projects} | {("build.pending", task) for task in tasks}

        def seen():
            return {(e.type, e.json.get("build_id") or e.json["project"]["id"]) for e in list(stream.events)}

        wait_for(lambda: wanted <= seen(), "all of it")


def test_the_feed_of_everything_is_not_for_admins_of_some_projects(kiln):
    client = kiln.token(["admin"], projects=[kiln.project()["name"]])
    assert slug(client.get("/events", expect=403)) == "forbidden"


def test_a_feed_begins_where_it_was_opened_though_nothing_came(kiln):
    project = kiln.project()
    with EventStream(kiln.api, f"/projects/{project['id']}/events") as stream:
        place = wait_for(lambda: stream.last_id, "the feed's place")
    task = kiln.waiting(project)
    kiln.tap.wait_type(task, "build.pending")
    with EventStream(kiln.api, f"/projects/{project['id']}/events", last_id=place) as stream:
        assert stream.wait_type("build.pending").json["build_id"] == task


def far_place():
    """An id that no log has reached yet: what one looks like whose log is gone."""
    return base64.urlsafe_b64encode(bytes([1]) + b"\xff\xff\xff\xff\x7f" * 24).decode().rstrip("=")


def test_an_id_that_is_not_kept_any_more_is_told_by_a_reset(kiln):
    project = kiln.project()
    with EventStream(kiln.api, f"/projects/{project['id']}/events", last_id=far_place()) as stream:
        first, *_ = stream.wait(1)
        assert first.type == "reset" and first.id not in (None, far_place())
        task = kiln.waiting(project)
        assert stream.wait_type("build.pending").json["build_id"] == task


def test_a_feed_is_no_json(kiln):
    assert slug(kiln.api.get("/events", headers={"Accept": "application/json"}, expect=406)) == "not-acceptable"


def test_a_heartbeat_keeps_the_place_of_a_feed_new(kiln, small_gateway):
    client = Client(small_gateway.url, kiln.api.token)
    quiet, busy = kiln.project(), kiln.project()
    with EventStream(client, f"/projects/{quiet['id']}/events") as stream:
        wait_for(lambda: stream.last_id, "the feed's place")
        etag = client.get(f"/projects/{quiet['id']}", expect=200).headers["etag"]
        client.patch(f"/projects/{quiet['id']}", {"description": "new"}, headers={"If-Match": etag}, expect=200)
        stream.wait_type("project.changed")  # nothing of its own comes after this
        place, known = stream.last_id, len(stream.events)
        kiln.waiting(busy)
        wait_for(lambda: stream.last_id != place, "the place to move on")
        assert len(stream.events) == known


# -- a reader whose gateway is killed, and who comes to another one with the last id that it was told


@pytest.fixture(name="moved", scope="module")
def moved_fixture(shared_system, shared_tap, receiver):
    """(a Kiln, builds, {stream: all that was had of it}): the first build began before the kill, the second one ran while nobody read, the third one after."""
    kiln = Kiln(shared_system, shared_tap, receiver)
    project, _ = kiln.seeded()
    gate = Gate(kiln)
    with contextlib.ExitStack() as stack:
        doomed = stack.enter_context(ready_gateway(shared_system))

        def open_at(client, path, last_id=None):
            return stack.enter_context(EventStream(client, path, last_id=last_id))

        paths = {"project": f"/projects/{project['id']}/events", "all": "/events"}
        before = {name: open_at(kiln.at(doomed), path) for name, path in paths.items()}
        wait_for(lambda: all(stream.last_id for stream in before.values()), "the feeds' places")
        tasks = [kiln.run(project, f"echo before; {gate.script}; for n in $(seq 1 50); do echo line $n; done")]
        paths |= {"events": f"/builds/{tasks[0]}/events", "logs": f"/builds/{tasks[0]}/logs"}
        before |= {name: open_at(kiln.at(doomed), paths[name]) for name in ("events", "logs")}
        wait_for(lambda: before["logs"].events and all(numbered(before[name].events).get(tasks[0]) for name in ("project", "all")), "the first events")
        doomed.process.kill()
        for stream in before.values():
            stream.wait_end()
        gate.open()
        tasks.append(kiln.run(project, "true"))
        for task in tasks:
            kiln.wait_end(task)
        after = {name: open_at(kiln.api, path, before[name].last_id) for name, path in paths.items()}
        tasks.append(kiln.run(project, "true"))
        kiln.wait_end(tasks[-1])
        last = [item["data"] for item in kiln.trail(tasks[-1])][-1]
        wait_for(lambda: all(last in [event.json for event in list(after[name].events)] for name in ("project", "all")), "the last event")
        for name in ("events", "logs"):
            after[name].wait_end()
        yield kiln, tasks, {name: before[name].events + after[name].events for name in paths}
    kiln.close()


@pytest.mark.parametrize("name", ["project", "all"])
def test_a_feed_goes_on_at_another_gateway_when_its_own_was_killed(moved, name):
    kiln, tasks, seen = moved
    assert "reset" not in {event.type for event in seen[name]}
    of_build = {task: [event.json for event in seen[name] if event.json.get("build_id") == task] for task in tasks}
    assert of_build == {task: [item["data"] for item in kiln.trail(task)] for task in tasks}


def test_a_builds_events_go_on_at_another_gateway_when_its_own_was_killed(moved):
    kiln, tasks, seen = moved
    assert [(int(event.id), event.type, event.json) for event in seen["events"]] == [(item["sequence"], item["type"], item["data"]) for item in kiln.trail(tasks[0])]


def test_a_log_goes_on_at_another_gateway_when_its_own_was_killed(moved):
    kiln, tasks, seen = moved
    assert lines(seen["logs"]) == kiln.log(tasks[0])
