"""What is read of repositories and journals is what they say."""

import types

import collect
import pytest
from kiln_testing.repositories import git

SAID = [
    "2026-11-29T10:00:00.000Z info kiln-executor: agent starts build_id=b attempt=1 worker_id=w",
    "2026-11-29T10:00:01.000Z info kiln-executor: push begins build_id=b attempt=1 commit=0123",
    "2026-11-29T10:00:02.000Z warn kiln-executor: an attempt's child has died build_id=b status=9",
    "2026-11-29T10:00:03.000Z info kiln-executor: something else build_id=b attempt=1",
]


@pytest.fixture
def repository(tmp_path):
    """As the git server makes them, with a commit of nobody on main."""
    folder = tmp_path / "p.git"
    git("init", "-q", "--bare", "-b", "main", str(folder))
    git("config", "core.logAllRefUpdates", "always", cwd=folder)
    tree = git("hash-object", "-t", "tree", "-w", "/dev/null", cwd=folder).strip()

    def commit(build=None, parent=None):
        trailer = ["-m", f"Kiln-Build: {build}"] if build else []
        return git("commit-tree", tree, "-m", "Work", *trailer, *(["-p", parent] if parent else []), cwd=folder).strip()

    def move(sha, ref="refs/heads/main"):
        git("update-ref", ref, sha, cwd=folder)

    first = commit()
    move(first)
    return types.SimpleNamespace(root=tmp_path, first=first, commit=commit, move=move)


def told(repository):
    updates, commits = collect.published(repository.root, ["p"])
    return [(update.ref, update.sha, update.build) for update in updates], commits


def test_an_update_names_the_build_whose_commit_it_has_brought(repository):
    sha = repository.commit("b", repository.first)
    repository.move(sha)
    repository.move(sha, "refs/kiln/builds/b")
    assert told(repository) == ([("refs/heads/main", repository.first, None), ("refs/heads/main", sha, "b")], {"b": {sha}})


def test_so_does_the_update_by_a_commit_that_is_on_no_branch_any_more(repository):
    sha = repository.commit("b", repository.first)
    repository.move(sha)
    repository.move(repository.first)
    updates, commits = told(repository)
    assert ("refs/heads/main", sha, "b") in updates and commits == {}


def test_a_mark_beside_the_branches_is_no_commit_on_a_branch(repository):
    repository.move(repository.commit("b"), "refs/kiln/builds/b")
    assert told(repository) == ([("refs/heads/main", repository.first, None)], {})


def test_a_journal_is_what_an_executor_has_said_of_its_attempts(tmp_path):
    log = tmp_path / "executor-1.log"
    log.write_text("\n".join(SAID), encoding="ascii")
    entries = collect.journals([types.SimpleNamespace(log=log, worker_id="w")])
    assert [(entry.worker, entry.what, entry.build, entry.attempt) for entry in entries] == [
        ("w", "agent starts", "b", 1),
        ("w", "push begins", "b", 1),
        ("w", "child has died", "b", 0),
    ]
