"""A bot posts a build and gets a commit on its branch and a signed call back."""

import uuid

import pytest
from kiln_testing import trail
from kiln_testing.agents import spec
from kiln_testing.webhooks import verified

WRITES = """
cat > prompt.txt
mkdir -p src
printf 'int main(void) { return 0; }\\n' > src/main.c
echo "wrote it"
echo "a warning" >&2
"""


def test_create_and_build_ends_with_a_commit_and_a_verified_webhook(kiln):
    inbox = kiln.receiver.inbox()
    body = {
        "project": {"name": kiln.name("main")},
        "build": spec(
            kiln.agents.write(WRITES),
            prompt="Write a program. Grüße, 世界!",
            auto_commit=True,
            auto_push=True,
            callback_url=inbox.url,
            commit_message="Add a program",
            metadata={"ticket": "K-1"},
        ),
    }
    accepted = kiln.api.post("/project/create-and-build", body, expect=202)
    answer = accepted.json()
    project, task = answer["project"], answer["task_id"]
    assert accepted.headers["location"] == f"/builds/{task}" == answer["links"]["self"]

    build = kiln.wait_end(task)
    assert build["status"] == "completed" and build["result"]["success"] is True, build["result"]
    events = kiln.trail(task)
    assert trail.statuses(events) == ["pending", "running", "completed"]
    assert trail.phases(events) == ["queued", "assigned", "preparing", "agent", "committing", "pushing"]

    repository = kiln.repository(project)
    assert repository.tip("main") == build["result"]["commit_sha"]
    with repository.clone() as clone:
        assert clone.files() == ["prompt.txt", "src/main.c"]
        assert clone.read("prompt.txt") == "Write a program. Grüße, 世界!"
        assert clone.commits_of(task) == [build["result"]["commit_sha"]]
        assert clone.git("log", "-1", "--format=%s") == "Add a program"
        assert clone.git("log", "-1", "--format=%(trailers:key=Kiln-Attempt,valueonly)").strip() == "1"

    (delivery,) = inbox.wait(1)
    payload = verified(delivery, project["webhook_secret"])
    assert payload["type"] == "build.completed"
    assert payload["data"] == events[-1]["data"] | {"task_id": task}
    assert delivery.headers["webhook-id"] == f"build/{task}/{events[-1]['sequence']}"


def test_the_result_tells_what_was_done(kiln):
    project, repository = kiln.seeded({"a.txt": "1\n2\n3\n", "b.txt": "gone\n", "c.txt": "same\n" * 20})
    task = kiln.run(
        project,
        """
        printf '1\\ntwo\\n3\\n4\\n' > a.txt
        rm b.txt
        mkdir d; mv c.txt d/c.txt
        printf 'new\\n' > e.txt
        echo the answer
        """,
        auto_commit=True,
        auto_push=True,
    )
    build = kiln.wait_end(task)
    result = build["result"]
    changed = {change["path"]: (change["status"], change["added"], change["deleted"]) for change in result["files_changed"]}
    assert changed == {
        "a.txt": ("modified", 2, 1),
        "b.txt": ("deleted", 0, 1),
        "d/c.txt": ("renamed", 0, 0),
        "e.txt": ("added", 1, 0),
    }
    assert result["commit_sha"] == repository.tip("main")
    assert result["branch"] == "main"
    assert result["output"] == "the answer\n"
    assert result["error"] is None and result["artifacts"] == [] and result["pipelines"] == []
    assert result["agent"]["provider"] == "command"
    assert 0 < result["duration_ms"] < 600_000
    assert build["attempt"] == 1 and build["attempts_used"] == 1 and build["max_attempts"] == 3


@pytest.mark.parametrize(
    ("fields", "subject"),
    [
        ({"prompt": "\n\nDo it\nAll of it"}, "Do it"),
        ({"prompt": "é" * 60_000}, "é" * 100),
        ({"prompt": " \n"}, "Build {task}"),
        ({"commit_message": " "}, "Build {task}"),
        ({"commit_message": "\n\nAcked-by: nobody"}, "Acked-by: nobody"),
    ],
    ids=["first line is blank", "one long line", "no line", "blank message", "message like a trailer"],
)
def test_a_commit_has_a_subject_and_is_found_by_its_builds_trailer(kiln, fields, subject):
    project, repository = kiln.seeded()
    task = kiln.run(project, "echo x > x.txt", auto_commit=True, auto_push=True, **fields)
    build = kiln.wait_end(task)
    with repository.clone() as clone:
        assert clone.commits_of(task) == [build["result"]["commit_sha"]]
        assert clone.git("log", "-1", "--format=%s") == subject.replace("{task}", task)


def test_an_agent_that_changes_nothing_completes_without_a_commit(kiln):
    project, repository = kiln.seeded()
    before = repository.refs()
    task = kiln.run(project, "echo nothing to do", auto_commit=True, auto_push=True)
    result = kiln.wait_end(task)["result"]
    assert result["success"] is True and result["commit_sha"] is None and result["files_changed"] == []
    assert repository.tip("main") == before["refs/heads/main"]


def test_auto_commit_alone_makes_a_commit_and_leaves_the_remote_alone(kiln):
    project, repository = kiln.seeded()
    before = repository.refs()
    build = kiln.wait_end(kiln.run(project, "echo x > x.txt", auto_commit=True))
    assert build["status"] == "completed" and build["result"]["commit_sha"] is not None
    assert repository.refs() == before


def test_without_auto_commit_there_is_no_commit_but_the_changes_are_told(kiln):
    project, repository = kiln.seeded()
    before = repository.refs()
    result = kiln.wait_end(kiln.run(project, "echo x > x.txt"))["result"]
    assert result["success"] is True and result["commit_sha"] is None
    assert [change["path"] for change in result["files_changed"]] == ["x.txt"]
    assert repository.refs() == before


def test_a_missing_branch_is_made_from_the_default_branch(kiln):
    project, repository = kiln.seeded()
    base = repository.tip("main")
    result = kiln.wait_end(kiln.run(project, "echo x > x.txt", branch="feature/x", auto_commit=True, auto_push=True))["result"]
    assert result["branch"] == "feature/x"
    assert repository.tip("main") == base
    with repository.clone("feature/x") as clone:
        assert clone.git("rev-parse", "HEAD") == result["commit_sha"]
        assert clone.git("rev-parse", "HEAD^") == base


def test_an_existing_branch_is_continued(kiln):
    project, repository = kiln.seeded()
    tip = repository.seed({"side.txt": "side\n"}, branch="side", message="Side")
    result = kiln.wait_end(kiln.run(project, "cat side.txt; echo x > x.txt", branch="side", auto_commit=True, auto_push=True))["result"]
    assert result["output"] == "side\n"
    with repository.clone("side") as clone:
        assert clone.git("rev-parse", "HEAD^") == tip


def test_builds_of_one_project_build_on_each_other(kiln):
    project, repository = kiln.seeded()
    script = "wc -l < README.md; echo line >> README.md"
    first = kiln.wait_end(kiln.run(project, script, auto_commit=True, auto_push=True))["result"]
    second = kiln.wait_end(kiln.run(project, script, auto_commit=True, auto_push=True))["result"]
    assert (first["output"].strip(), second["output"].strip()) == ("1", "2")
    with repository.clone() as clone:
        assert clone.git("log", "--format=%H", "-2").split() == [second["commit_sha"], first["commit_sha"]]


def test_the_log_has_both_streams_in_order_and_as_text(kiln):
    project, _ = kiln.seeded()
    task = kiln.run(project, "for n in 1 2 3; do echo out $n; done; echo oops >&2; printf 'no newline'")
    build = kiln.wait_end(task)
    lines = kiln.log(task)
    assert [line["text"] for line in lines if line["stream"] == "stdout"] == ["out 1", "out 2", "out 3", "no newline"]
    assert [line["text"] for line in lines if line["stream"] == "stderr"] == ["oops"]
    numbers = [line["sequence"] for line in lines]
    assert numbers == list(range(2**32 + 1, 2**32 + 1 + len(lines)))
    assert build["result"]["output"] == "out 1\nout 2\nout 3\nno newline"
    text = kiln.api.get(f"/builds/{task}/logs", headers={"Accept": "text/plain"}, expect=200).text
    assert "out 1\nout 2\nout 3\n" in text and "oops\n" in text


def test_the_same_events_are_in_kafka_and_in_the_trail(kiln):
    project, _ = kiln.seeded()
    task = kiln.run(project, "echo x > x.txt", auto_commit=True, auto_push=True)
    kiln.wait_end(task)
    items = kiln.trail(task)
    records = kiln.tap.events(task)
    assert [(r.type, r.data, r.headers["ce_hash"]) for r in records] == [(i["type"], i["data"], i["hash"]) for i in items]
    assert [r.headers["ce_time"] for r in records] == [i["time"] for i in items]


def test_metadata_is_returned_everywhere(kiln):
    project, _ = kiln.seeded()
    inbox = kiln.receiver.inbox()
    metadata = {"ticket": "K-2", "emoji": "🧱", "": ""} | {f"key {n}": "v" * n for n in range(5)}
    del metadata[""]
    task = kiln.run(project, "true", metadata=metadata, callback_url=inbox.url)
    build = kiln.wait_end(task)
    assert build["spec"]["metadata"] == metadata
    assert all(item["data"]["metadata"] == metadata for item in kiln.trail(task))
    (delivery,) = inbox.wait(1)
    assert verified(delivery, project["webhook_secret"])["data"]["metadata"] == metadata


def test_forty_builds_of_ten_projects_all_complete(kiln):
    command = kiln.agents.write('head -c 8 /dev/urandom | od -An -tx1 > "$$.txt"')
    projects = [kiln.project() for _ in range(10)]
    own = f"l{uuid.uuid4().hex[:10]}"  # other tests' builds need not wait behind all of these
    with kiln.system.executor(slots=4, labels=[own]):
        tasks = [(kiln.post(project, spec(command, labels=[own], auto_commit=True, auto_push=True)), project) for project in projects * 4]
        for task, _ in tasks:
            build = kiln.wait_end(task)
            assert build["status"] == "completed", build["result"]
    for project in projects:
        with kiln.repository(project).clone() as clone:
            own = [task for task, owner in tasks if owner is project]
            assert all(len(clone.commits_of(task)) == 1 for task in own)
            assert int(clone.git("rev-list", "--count", "HEAD")) == 4
