"""Lists of builds: links from page to page, and filters. Pages while others write: test_paging.py."""

import contextlib
import re
import uuid

import pytest
from kiln_testing.agents import Gate, spec, waiting_spec
from kiln_testing.client import slug
from kiln_testing.waiting import wait_for

COMMITS = "echo x > x.txt"


def rows_are_there(kiln, tasks):
    for task in tasks:
        kiln.tap.wait_type(task, "build.pending")


def ids(items):
    return [item["task_id"] for item in items]


def page(kiln, path, **params):
    return kiln.api.get(path, params=params, expect=200)


@pytest.mark.parametrize("params", [{"status": "pending"}, {"agent": "command"}, {"branch": "fix/x"}], ids=["status", "agent", "branch"])
def test_what_leaves_the_queue_while_paging_makes_no_repeats_and_no_holes(kiln, params):
    """Of each page one that was shown and one that comes later: a list of what is pending lacks the latter, others have it in its place, ended."""
    project = kiln.project()
    before = [kiln.post(project, waiting_spec(branch="fix/x")) for _ in range(8)]
    rows_are_there(kiln, before)
    answer = page(kiln, f"/projects/{project['id']}/builds", limit=2, **params)
    seen, left, wanted = ids(answer.json()["items"]), set(), before[::-1]
    while "next" in answer.links:
        later = [task for task in wanted if task not in seen]
        for task in (seen[-1], later[-1]):
            kiln.cancel(task)
            kiln.wait_end(task)
        left.add(later[-1])
        if "status" in params:
            wanted = [task for task in wanted if task not in left]
        answer = kiln.api.get(answer.links["next"]["url"], expect=200)
        seen += ids(answer.json()["items"])
    assert seen == wanted and left


def test_links_lead_on_and_back_to_the_first_page(kiln):
    project = kiln.project()
    path = f"/projects/{project['name']}/builds"
    tasks = [kiln.post(project, waiting_spec()) for _ in range(3)]
    rows_are_there(kiln, tasks)
    first = page(kiln, path, limit=2, label="nobody-has-this", status="pending")
    assert set(first.links) == {"next"}
    last = kiln.api.get(first.links["next"]["url"], expect=200)
    assert set(last.links) == {"first"} and last.json()["next_cursor"] is None
    assert kiln.api.get(last.links["first"]["url"], expect=200).json() == first.json()


def test_a_list_by_sequence_names_no_first_page(kiln):
    """Where it began, which `after` said, is in no cursor."""
    project, _ = kiln.seeded()
    task = kiln.run(project, "true")
    kiln.wait_end(task)
    path = f"/builds/{task}/events"
    first = page(kiln, path, after=1, limit=1)
    assert set(first.links) == {"next"} and [item["sequence"] for item in first.json()["items"]] == [2]
    second = kiln.api.get(first.links["next"]["url"], expect=200)
    assert set(second.links) <= {"next"} and [item["sequence"] for item in second.json()["items"]] == [3]


def test_each_filter_and_all_of_them_together(kiln):
    """One build that fits, and others that miss in one thing each."""
    template = kiln.api.post("/templates", {"name": kiln.name("t"), "text": "{{prompt}}"}, expect=201).json()["name"]
    kiln.api.post("/templates", {"name": template, "text": "Please: {{prompt}}"}, expect=201)
    project, _ = kiln.seeded()
    path = f"/projects/{project['id']}/builds"
    commits = {"auto_commit": True}
    ours = kiln.run(project, COMMITS, branch="fix/cart", template=f"{template}@1", **commits)
    done = {
        "branch": kiln.run(project, "true", branch="main", template=f"{template}@1"),
        "version": kiln.run(project, COMMITS, branch="fix/cart", template=template, **commits),
        "plain": kiln.run(project, COMMITS, branch="fix/cart", **commits),
        "failed": kiln.run(project, "exit 3", branch="fix/cart", template=f"{template}@1"),
    }
    waiting = kiln.post(project, spec("none", branch="fix/cart", template=template, labels=["a-label", "nobody-has-this"]))
    cancelled = kiln.post(project, waiting_spec(branch="fix/cart"))
    kiln.cancel(cancelled)
    builds = {task: kiln.wait_end(task) for task in [ours, *done.values(), cancelled]}
    rows_are_there(kiln, [waiting])
    commit = builds[ours]["result"]["commit_sha"]

    def found(**params):
        assert ids(kiln.api.pages(path, limit=1, **params)) == (got := ids(kiln.api.pages(path, **params)))
        return set(got)

    everything = {ours, waiting, cancelled, *done.values()}
    assert found() == everything
    assert found(status="completed") == {ours, done["branch"], done["version"], done["plain"]}
    assert found(status="failed") == {done["failed"]}
    assert found(status="cancelled") == {cancelled}
    assert found(status="pending") == {waiting}
    assert found(status="running") == set()
    assert found(branch="fix/cart") == everything - {done["branch"]}
    assert found(branch="main") == {done["branch"]}
    assert found(agent="command") == everything
    assert found(agent="opencode") == set()
    assert found(label="nobody-has-this") == {waiting, cancelled}
    assert found(label=["a-label", "nobody-has-this"]) == {waiting}
    assert found(template=template) == {ours, done["branch"], done["version"], done["failed"], waiting}
    assert found(template=f"{template}@2") == {done["version"], waiting}
    assert found(commit=commit) == {ours}
    assert found(commit="0" * 40) == set()
    at = builds[ours]["created_at"]
    assert found(created_before=at) == set()
    assert found(created_after=at) == everything
    assert found(created_after=at, created_before=builds[done["branch"]]["created_at"]) == {ours}
    whole = {"status": "completed", "branch": "fix/cart", "agent": "command", "template": f"{template}@1", "commit": commit, "created_after": at}
    assert found(**whole) == {ours}
    for change in ({"status": "failed"}, {"branch": "main"}, {"agent": "opencode"}, {"label": "a-label"}, {"template": f"{template}@2"}):
        assert found(**{**whole, **change}) == set(), change
    assert found(branch="fix/cart", template=f"{template}@2") == {done["version"], waiting}


def test_a_running_build_is_found_until_it_has_ended_and_then_as_ended(kiln):
    gate = Gate(kiln)
    project, _ = kiln.seeded()
    path = f"/projects/{project['id']}/builds"
    task = kiln.run(project, gate.script)
    try:
        kiln.wait_phase(task, "agent")
        branch = wait_for(lambda: kiln.system.sql("select branch from build_audit where id = %s and branch is not null", task), "the branch")[0][0]
        assert ids(kiln.api.pages(path, status="running", branch=branch)) == [task]
        assert kiln.api.pages(path, status="completed") == []
    finally:
        gate.open()
    kiln.wait_end(task)
    assert kiln.api.pages(path, status="running") == []
    assert ids(kiln.api.pages(path, status="completed", branch=branch)) == [task]


def test_everything_wrong_with_filters_is_told_at_once(kiln):
    project = kiln.project()
    wrong = {"status": "gone", "branch": "", "agent": "gpt", "label": "GPU", "template": "x@0", "commit": "abc", "created_after": "today", "colour": "red", "limit": "0"}
    answer = kiln.api.get(f"/projects/{project['id']}/builds", params=wrong, expect=400)
    assert slug(answer) == "bad-request"
    for name in wrong:
        assert re.search(rf'\b{name}\b', answer.json()["detail"]), name
    for params in ({"created_before": "2026-01-01T00:00:00Z", "created_after": "2026-01-01T00:00:00Z"}, {"branch": "\x7f"}, {"token": str(uuid.uuid4())}):
        kiln.api.get(f"/projects/{project['id']}/builds", params=params, expect=400)


def test_a_cursor_belongs_to_its_filters_and_its_project(kiln):
    project, other = kiln.project(), kiln.project()
    path = f"/projects/{project['id']}/builds"
    rows_are_there(kiln, [kiln.post(project, waiting_spec()) for _ in range(2)])
    cursors = {status: page(kiln, path, limit=1, **({"status": status} if status else {})).json()["next_cursor"] for status in ("", "pending")}
    for params in ({"cursor": cursors["pending"]}, {"cursor": cursors[""], "status": "pending"}, {"cursor": cursors["pending"], "status": "pending", "agent": "command"}):
        answer = kiln.api.get(path, params=params, expect=400)
        assert "other filters" in answer.json()["detail"]
    kiln.api.get(f"/projects/{other['id']}/builds", params={"cursor": cursors[""]}, expect=400)
    kiln.api.get("/projects", params={"cursor": cursors[""]}, expect=400)
    page(kiln, f"/projects/{project['name']}/builds", cursor=cursors["pending"], status="pending", limit=2)


@pytest.mark.parametrize("what, accept", [("events", "application/json"), ("logs", "application/json"), ("logs", "text/plain"), ("events", "text/event-stream")])
def test_a_cursor_of_what_a_build_has_is_refused_by_another_build(kiln, what, accept):
    project, _ = kiln.seeded()
    tasks = [kiln.run(project, "echo one; echo two") for _ in range(2)]
    for task in tasks:
        kiln.wait_end(task)
    first = page(kiln, f"/builds/{tasks[0]}/{what}", limit=1)
    cursor = first.json()["next_cursor"]
    for task, status in zip(tasks, (200, 400)):
        answer = kiln.api.get(f"/builds/{task}/{what}", params={"cursor": cursor}, headers={"Accept": accept}, expect=status)
    assert "another list" in answer.json()["detail"]


def test_the_longest_link_is_one_that_works(kiln):
    project = kiln.project()
    path = f"/projects/{project['id']}/builds"
    labels = [f"{number}{'x' * 62}" for number in range(8)]
    branch = "é" * 127
    rows_are_there(kiln, [kiln.post(project, spec("none", labels=labels)) for _ in range(3)])
    for table, column in (("build_audit", "asked_branch"), ("build_queue", "branch")):
        kiln.system.sql(f"update {table} set {column} = %s, template = %s where project_id = %s", branch, f"{'t' * 63}@2147483647", project["id"])
    params = {"label": labels, "branch": branch, "template": f"{'t' * 63}@2147483647", "status": "pending", "agent": "command", "limit": 1}
    params |= {"created_after": "2020-01-01T00:00:00Z", "created_before": "2120-01-01T00:00:00Z"}
    first = page(kiln, path, **params)
    second = kiln.api.get(first.links["next"]["url"], expect=200)
    assert set(second.links) == {"next", "first"}
    assert ids(kiln.api.get(second.links["first"]["url"], expect=200).json()["items"]) == ids(first.json()["items"])


@pytest.mark.parametrize("limit", [1, 50])
def test_a_project_with_very_many_kinds_of_builds_is_listed_whole(kiln, limit):
    """More kinds than are merged: pages may be short, or empty, and the list is complete all the same."""
    project = kiln.project()
    kiln.system.sql(
        """with made as (
            insert into build_audit (id, project_id, project_name, status, max_attempts, class, priority, queue_timeout_s, created_at, finished_at)
            select gen_random_uuid(), %s, %s, case when i in (1, 2, 2400) then 'failed' else 'completed' end, 3, 'command,' || i %% 260, 5, 60,
                timestamptz '2026-01-01' + i * interval '1 second', now()
            from generate_series(1, 2500) as i returning *)
        insert into ended_builds select project_id, list, status, class, created_at, id from made, kiln_build_lists(branch, template, null) as list""",
        project["id"], project["name"],
    )
    path = f"/projects/{project['id']}/builds"
    first = page(kiln, path, status="failed", limit=limit)
    assert len(first.json()["items"]) == 1 and first.json()["next_cursor"] is not None
    assert [item["created_at"][14:19] for item in kiln.api.pages(path, status="failed", limit=limit)] == ["40:00", "00:02", "00:01"]
    assert kiln.api.pages(path, label="259", status="cancelled") == []


@pytest.mark.parametrize(("kinds", "filters"), [(1, {}), (1, {"status": "completed"}), (300, {"status": "completed"})], ids=["all", "filtered", "walked"])
def test_a_page_of_large_builds_ends_early_and_the_list_is_whole(kiln, kinds, filters):
    """More than an answer may have, together."""
    project = kiln.project()
    kiln.system.sql(
        """with made as (
            insert into build_audit (id, project_id, project_name, status, max_attempts, class, priority, queue_timeout_s, created_at, finished_at, metadata)
            select gen_random_uuid(), %s, %s, 'completed', 3, 'command,' || i %% %s, 5, 60, timestamptz '2026-01-01' + i * interval '1 second', now(),
                (select json_object_agg('k' || n, repeat('x', 4096)) from generate_series(1, 60) as n)::text
            from generate_series(1, 300) as i returning *)
        insert into ended_builds select project_id, list, status, class, created_at, id from made, kiln_build_lists(branch, template, null) as list""",
        project["id"], project["name"], kinds,
    )
    path = f"/projects/{project['id']}/builds"
    first = page(kiln, path, limit=500, **filters).json()
    assert 1 < len(first["items"]) < 100 and first["next_cursor"] is not None
    made = [item["created_at"] for item in kiln.api.pages(path, limit=500, **filters)]
    assert len(made) == 300 and made == sorted(set(made), reverse=True)


@contextlib.contextmanager
def long_queue(kiln, project, kind, builds=2500):
    """Builds that no worker takes, two in each second; `kind`: their class, branch and template as SQL of i. Yields [(id, class, branch, template)], the newest first."""
    values = project["id"], project["name"], builds
    made = f"""with made as (
            insert into build_audit (id, project_id, project_name, status, phase, max_attempts, class, priority, queue_timeout_s, created_at, asked_branch, template)
            select gen_random_uuid(), %s, %s, 'pending', 'queued', 3, class, 5, 60, timestamptz '2026-01-01' + i / 2 * interval '1 second', branch, template
            from generate_series(1, %s) as i, lateral (select {kind}) as kind (class, branch, template) returning *)
        insert into build_queue (build_id, project_id, class, queue_key, created_at, own_class, branch, template)
        select id, project_id, class, created_at, created_at, class, asked_branch, template from made"""
    try:
        kiln.system.sql(made, *values)
        yield kiln.system.sql(
            "select id::text, class, asked_branch, template from build_audit where project_id = %s order by created_at desc, id desc", project["id"]
        )
    finally:
        kiln.system.sql("delete from build_queue where project_id = %s", project["id"])
        kiln.system.sql("delete from build_audit where project_id = %s", project["id"])


def test_a_long_queue_is_listed_whole_and_in_order(kiln):
    project = kiln.project()
    path = f"/projects/{project['id']}/builds"
    kind = """'command,nobody-has-this,' || i %% 3, case when i %% 2 = 0 then 'main' when i %% 5 = 0 then 'fix/' || i end,
        case when i %% 4 = 0 then 'review@' || 9 + i %% 3 when i %% 7 = 0 then 'review-2@1' end"""
    with long_queue(kiln, project, kind) as builds:

        def found(limit, **params):
            return ids(kiln.api.pages(path, limit=limit, **params))

        assert found(500, status="pending") == [build for build, *_ in builds]
        assert found(500, status="running") == []
        assert found(100, label="2") == [build for build, name, *_ in builds if name.endswith(",2")]
        assert found(500, branch="main") == [build for build, _, branch, _ in builds if branch == "main"]
        assert found(7, branch="fix/25", status="pending") == [build for build, _, branch, _ in builds if branch == "fix/25"]
        assert found(100, template="review") == [build for build, _, _, template in builds if (template or "").startswith("review@")]
        assert found(33, template="review@10") == [build for build, _, _, template in builds if template == "review@10"]
        assert found(100, template="review@1") == []
        assert found(100, branch="main", template="review@9", label="0") == [
            build for build, name, branch, template in builds if (branch, template) == ("main", "review@9") and name.endswith(",0")
        ]


@pytest.mark.parametrize("limit", [1, 50])
def test_a_queue_with_very_many_kinds_of_builds_is_listed_whole(kiln, limit):
    project = kiln.project()
    path = f"/projects/{project['id']}/builds"
    kind = "case when i in (1, 2, 2400) then 'opencode,nobody-has-this' else 'command,nobody-has-this,' || i %% 260 end, null, null"
    with long_queue(kiln, project, kind) as builds:
        first = page(kiln, path, agent="opencode", limit=limit)
        assert len(first.json()["items"]) == 1 and first.json()["next_cursor"] is not None
        assert ids(kiln.api.pages(path, agent="opencode", limit=limit)) == [build for build, name, *_ in builds if name.startswith("opencode")]
