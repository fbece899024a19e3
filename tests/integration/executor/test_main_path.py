"""One build on a healthy executor: from the assignment to the commit on the branch."""
import re

from kiln_testing.waiting import wait_for

WRITE = "cat >prompt.txt; echo hello from the agent; echo a warning >&2; mkdir -p new/deep; echo data >new/deep/file.txt"


def test_the_agents_files_are_committed_and_pushed_with_the_builds_trailer(executor, agents, site):
    repository = site.repository()
    base = repository.tip()
    finished, attempt = executor.run(repository, agents.write(WRITE))
    assert finished["outcome"] == "completed" and finished["published"] and not finished["closed"]
    result = finished["result"]
    assert result["success"] and result["error"] is None and result["branch"] == "main"
    assert result["commit_sha"] == repository.tip()
    with repository.clone() as clone:
        assert clone.read("prompt.txt") == "Do it.\nAll of it."
        assert clone.read("new/deep/file.txt") == "data\n"
        assert clone.git("rev-parse", "HEAD^") == base
        message = clone.git("log", "-1", "--format=%B")
        assert message == f"Do it.\n\nKiln-Build: {attempt.build_id}\nKiln-Attempt: 1"
        assert clone.git("log", "-1", "--format=%cn <%ce>") == "Kiln <kiln@localhost>"
        assert clone.commits_of(attempt.build_id) == [result["commit_sha"]]
    assert result["files_changed"] == [
        {"path": "new/deep/file.txt", "status": "added", "added": 1, "deleted": 0},
        {"path": "prompt.txt", "status": "added", "added": 2, "deleted": 0},
    ]
    assert result["output"] == "hello from the agent\n"
    assert result["agent"]["provider"] == "command"


def test_phases_come_in_order_and_the_push_is_announced_with_its_commit(executor, agents, site):
    repository = site.repository()
    base = repository.tip()
    finished, attempt = executor.run(repository, agents.write(WRITE))
    assert attempt.phases() == ["preparing", "agent", "committing", "pushing"]
    agent = attempt.phase("agent").data
    assert agent["base_sha"] == base and agent["branch"] == "main"
    assert attempt.phase("pushing").data["commit_sha"] == finished["result"]["commit_sha"]
    order = [record.type for record in executor.service.seen(**attempt.token) if record.topic == "kiln.build.results"]
    assert order[0] == "attempt.accepted" and order[-1] == "attempt.finished"


def test_the_log_has_the_agents_lines_and_says_that_it_is_unsandboxed(executor, agents, site):
    _, attempt = executor.run(site.repository(), agents.write(WRITE))
    wait_for(lambda: "a warning" in attempt.lines("stderr"), "the log")
    attempt.wait_lines(["hello from the agent"])
    assert re.search("unsandboxed", attempt.lines("kiln")[0])
    assert attempt.phase("agent").data["sandbox"] == "none"


def test_lines_of_an_attempt_in_the_executors_log_have_its_ids(executor, agents, site):
    _, attempt = executor.run(site.repository(), agents.write(WRITE))
    of_it = {"attempt accepted", "agent starts", "push begins", "attempt finished"}  # of the daemon, and of the attempt's own process
    lines = [line for line in executor.lines() if line.get("build_id") == attempt.build_id and line["msg"] in of_it]
    assert {line["msg"] for line in lines} == of_it
    ids = {"attempt": "1", "worker_id": executor.hello["worker_id"], "trace_id": attempt.trace_id}
    assert [line for line in lines if ids.items() - line.items()] == []


def test_the_fence_ref_is_made_with_the_push_and_goes_with_the_release(executor, agents, site):
    repository = site.repository()
    finished, attempt = executor.run(repository, agents.write(WRITE))
    fence = f"refs/kiln/builds/{attempt.build_id}"
    assert repository.refs()[fence] == finished["result"]["commit_sha"]
    wait_for(lambda: executor.next_heartbeat()["reported"] == [attempt.token | {"acknowledged": True}], "the result to be listed, and to be Kafka's")
    attempt.release(last=True)
    wait_for(lambda: fence not in repository.refs(), "the fence to be deleted")
    wait_for(lambda: executor.next_heartbeat()["reported"] == [], "the result to be forgotten")


def test_the_fence_refs_of_builds_that_are_released_at_once_all_go(executor, agents, site):
    repository = site.repository()
    command = agents.write("cat >/dev/null; echo x >$KILN_BUILD_ID")
    attempts = [executor.run(repository, command)[1] for _ in range(6)]
    assert len(repository.refs()) == 8
    for attempt in attempts:
        attempt.release(last=True)
    wait_for(lambda: set(repository.refs()) == {"HEAD", "refs/heads/main"}, "the fences to be deleted")


def test_no_change_completes_without_a_commit(executor, agents, site):
    repository = site.repository()
    base = repository.tip()
    finished, attempt = executor.run(repository, agents.write("cat >/dev/null; echo nothing to do"))
    assert finished["outcome"] == "completed" and not finished["published"]
    assert finished["result"]["commit_sha"] is None and finished["result"]["files_changed"] == []
    assert repository.tip() == base and "pushing" not in attempt.phases()


def test_without_auto_push_the_commit_is_made_and_the_remote_untouched(executor, agents, site):
    repository = site.repository()
    before = repository.refs()
    finished, _ = executor.run(repository, agents.write(WRITE), auto_push=False)
    assert finished["outcome"] == "completed" and not finished["published"]
    assert re.fullmatch("[0-9a-f]{40}", finished["result"]["commit_sha"])
    assert repository.refs() == before


def test_without_auto_commit_changes_are_only_reported(executor, agents, site):
    repository = site.repository()
    before = repository.refs()
    finished, _ = executor.run(repository, agents.write("rm README.md; echo 1 >>src/a.txt; mv src/a.txt src/b.txt"), auto_commit=False, auto_push=False)
    assert finished["result"]["commit_sha"] is None
    assert finished["result"]["files_changed"] == [
        {"path": "README.md", "status": "deleted", "added": 0, "deleted": 1},
        {"path": "src/b.txt", "status": "renamed", "added": 1, "deleted": 0},
    ]
    assert repository.refs() == before


def test_a_new_branch_is_made_from_the_default_branch(executor, agents, site):
    repository = site.repository()
    base = repository.tip()
    finished, attempt = executor.run(repository, agents.write(WRITE), branch="feature/x")
    assert finished["published"] and finished["result"]["branch"] == "feature/x"
    assert repository.tip("feature/x") == finished["result"]["commit_sha"] and repository.tip() == base
    assert attempt.phase("agent").data["base_sha"] == base


def test_an_empty_repository_is_a_valid_start(executor, agents, site):
    repository = site.repository()
    for ref in list(repository.refs()):
        if ref != "HEAD":
            (repository.folder / ref).unlink()
    finished, attempt = executor.run(repository, agents.write(WRITE))
    assert finished["outcome"] == "completed" and finished["published"], finished
    assert attempt.phase("agent").data["base_sha"] is None
    with repository.clone("main") as clone:
        assert clone.git("rev-list", "--count", "HEAD") == "1" and "prompt.txt" in clone.files()


def test_a_missing_repository_is_made_by_the_push_only_when_allowed(executor, agents, site):
    missing = site.repository(seed=False)
    refused, attempt = executor.run(missing, agents.write(WRITE))
    assert refused["outcome"] == "failed" and refused["result"]["error"]["class"] == "git_unreachable" and not refused["retryable"]
    assert "agent" not in attempt.phases()
    made, attempt = executor.run(missing, agents.write(WRITE), git_fields={"create_missing": True})
    assert made["published"] and missing.tip() == made["result"]["commit_sha"]
    # Nothing went wrong, and nothing in the log looks as if it had.
    wait_for(lambda: "there is no repository yet: the first push makes it" in attempt.lines("kiln"), "the log")
    assert not [line for line in attempt.lines("kiln") if line.startswith("git: ")]


def test_a_second_build_sees_the_first_and_clones_nothing(executor, agents, site):
    repository = site.repository()
    command = agents.write("cat >/dev/null; ls >listing.txt; date +%s%N >>stamp.txt")
    first, _ = executor.run(repository, command)
    mirrors = sorted(path.name for path in (executor.state / "mirrors").iterdir())
    second, _ = executor.run(repository, command)
    assert sorted(path.name for path in (executor.state / "mirrors").iterdir()) == mirrors
    with repository.clone() as clone:
        assert clone.git("rev-parse", "HEAD^") == first["result"]["commit_sha"]
        assert clone.git("rev-parse", "HEAD") == second["result"]["commit_sha"]


def test_gitignore_is_respected_and_the_commit_message_is_the_bots(executor, agents, site):
    repository = site.repository(**{".gitignore": "*.log\nbuild/\n"})
    finished, attempt = executor.run(
        repository, agents.write("cat >/dev/null; echo x >a.log; mkdir build; echo y >build/out; echo z >kept"),
        commit_message="Keep it\n\nBecause.\n\nKiln-Build: 00000000-0000-4000-8000-000000000000\nSigned-off-by: A <a@b>\n",
    )  # fmt: skip
    assert [change["path"] for change in finished["result"]["files_changed"]] == ["kept"]
    with repository.clone() as clone:
        assert clone.git("log", "-1", "--format=%B").splitlines() == [
            "Keep it", "", "Because.", "", "Signed-off-by: A <a@b>", f"Kiln-Build: {attempt.build_id}", "Kiln-Attempt: 1",
        ]  # fmt: skip


def test_the_agents_own_commits_are_part_of_the_publication_without_forged_trailers(executor, agents, site):
    repository = site.repository()
    base = repository.tip()
    script = """
        cat >/dev/null
        echo one >one; git add one; git commit -q -m 'One

        Kiln-Build: 11111111-1111-4111-8111-111111111111
        Acked-by: Me <me@x>'
        echo two >two; git add two; git commit -q -m 'Two'
        git gc -q
        echo three >three
    """
    finished, attempt = executor.run(repository, agents.write(script))
    assert finished["published"], finished
    with repository.clone() as clone:
        assert clone.git("log", "--format=%s", f"{base}..HEAD").splitlines() == ["Do it.", "Two", "One"]
        assert "11111111" not in clone.git("log", "--format=%B")
        assert "Acked-by: Me <me@x>" in clone.git("log", "-1", "--format=%B", "HEAD~2")
        assert clone.commits_of(attempt.build_id) == [finished["result"]["commit_sha"]]
        assert clone.files() == ["README.md", "one", "src/a.txt", "three", "two"]


def test_an_agent_that_commits_everything_has_its_last_commit_signed(executor, agents, site):
    repository = site.repository()
    finished, attempt = executor.run(repository, agents.write("cat >/dev/null; echo 1 >one; git add one; git commit -q -m Mine --author='A <a@b>'"))
    with repository.clone() as clone:
        assert clone.git("log", "-1", "--format=%s|%an|%cn") == "Mine|A|Kiln"
        assert clone.commits_of(attempt.build_id) == [finished["result"]["commit_sha"]]
        assert clone.git("rev-list", "--count", "HEAD") == "2"


def test_an_ignored_file_that_the_agent_has_committed_stays(executor, agents, site):
    repository = site.repository(**{".gitignore": "dist/\n"})
    base = repository.tip()
    script = "cat >/dev/null; mkdir -p dist; echo 1 >dist/new; echo 2 >dist/not; git add -f dist/new; git commit -q -m Mine"
    finished, _ = executor.run(repository, agents.write(script))
    assert finished["published"], finished
    with repository.clone() as clone:
        assert clone.git("log", "--format=%s", f"{base}..HEAD").splitlines() == ["Mine"]
        assert clone.files() == [".gitignore", "dist/new"]


def test_the_submodules_commit_that_the_agent_has_committed_stays(executor, agents, site):
    repository = site.repository()
    base = repository.tip()
    script = "cat >/dev/null; git update-index --add --cacheinfo 160000,1111111111111111111111111111111111111111,sub; mkdir sub; git commit -q -m Mine; echo 1 >one"
    finished, _ = executor.run(repository, agents.write(script))
    assert finished["published"], finished
    with repository.clone() as clone:
        assert clone.git("log", "--format=%s", f"{base}..HEAD").splitlines() == ["Do it.", "Mine"]
        assert clone.git("ls-tree", "HEAD", "sub").split()[:3] == ["160000", "commit", "1" * 40]


def test_nothing_is_left_in_the_state_directory(executor, agents, site):
    _, attempt = executor.run(site.repository(), agents.write("mkdir -p a/b/c; touch a/b/c/d; chmod -R 0555 a; chmod 0 \"$HOME\"; ln -s / root"))
    attempt.release()
    wait_for(lambda: not executor.leftovers(), f"an empty state directory, has {executor.leftovers()}")
    assert not attempt.processes()


def test_readiness_and_metrics(executor):
    assert '"pass"' in executor.ops("/readyz")
    assert "kiln_executor_slots 2" in executor.ops("/metrics")
