"""files_changed tells what this build has changed, and nothing that others have pushed meanwhile."""
import pytest

from executing import LOSES_ITS_ANSWER, waiting

SEVERAL = "for n in 1 2 3; do echo $n >$n; git add $n; git commit -q -m \"Number $n\"; done"
WORK = {
    "files": "echo 1 >1; echo 2 >2; echo 3 >3",
    "commits": SEVERAL,
    "commits and files": "for n in 1 2; do echo $n >$n; git add $n; git commit -q -m \"Number $n\"; done; echo 3 >3",
}
MADE = [{"path": str(n), "status": "added", "added": 1, "deleted": 0} for n in (1, 2, 3)]
SETTLE_END = {"status": "failed", "error": {"class": "worker_lost", "message": "the worker was lost"}}


def overtaken(executor, agents, repository, place, work):
    """An attempt during whose agent somebody else has pushed: it will be rebased."""
    attempt = executor.attempt(repository, agents.write(waiting(place, work))).assign()
    attempt.phase("agent")
    repository.seed({"others.txt": "by somebody else\n"})
    return attempt


@pytest.mark.parametrize("work", WORK)
def test_of_a_rebased_commit_whose_push_was_not_answered(executor, agents, site, place, work):
    repository = site.repository()
    attempt = overtaken(executor, agents, repository, place, WORK[work])
    repository.hook(*LOSES_ITS_ANSWER)
    (place / "go").touch()
    finished = attempt.finished()
    assert finished["published"] and repository.tip() == finished["result"]["commit_sha"], finished
    attempt.wait_found()
    assert finished["result"]["files_changed"] == MADE


@pytest.mark.parametrize("work", WORK)
@pytest.mark.parametrize("mode, fenced", [("run", True), ("run", False), ("settle", True)])
def test_of_a_rebased_commit_that_a_later_attempt_finds(executor, agents, site, place, mode, fenced, work):
    repository = site.repository()
    attempt = overtaken(executor, agents, repository, place, WORK[work])
    (place / "go").touch()
    first = attempt.finished()
    assert first["published"] and first["result"]["files_changed"] == MADE, first
    repository.seed({"later.txt": "by somebody else\n"})
    if not fenced:
        site.server_git(repository, "update-ref", "-d", f"refs/kiln/builds/{attempt.build_id}")
    second, _ = executor.run(
        repository, agents.write("exit 9"), build_id=attempt.build_id, attempt=2, mode=mode, base_sha=attempt.phase("agent").data["base_sha"],
        base_branch="main", earlier=[{"attempt": 1, "commit_sha": first["result"]["commit_sha"]}], settle_end=SETTLE_END if mode == "settle" else None,
    )  # fmt: skip
    assert second["published"] and second["result"]["commit_sha"] == first["result"]["commit_sha"], second
    assert second["result"]["files_changed"] == MADE


def test_of_commits_that_stand_on_nothing(executor, agents, site):
    repository = site.repository(seed=False)
    command = agents.write(f"cat >/dev/null; {SEVERAL}")
    first, attempt = executor.run(repository, command, git_fields={"create_missing": True})
    assert first["published"] and first["result"]["files_changed"] == MADE, first
    second, _ = executor.run(
        repository, agents.write("exit 9"), build_id=attempt.build_id, attempt=2, earlier=[{"attempt": 1, "commit_sha": first["result"]["commit_sha"]}]
    )  # fmt: skip
    assert second["published"] and second["result"]["files_changed"] == MADE


def test_of_a_build_whose_changes_are_on_the_branch_already(executor, agents, site, place):
    repository = site.repository()
    attempt = overtaken(executor, agents, repository, place, "echo 'by somebody else' >others.txt")
    (place / "go").touch()
    finished = attempt.finished()
    assert finished["outcome"] == "completed" and finished["result"]["commit_sha"] is None and finished["result"]["files_changed"] == []
