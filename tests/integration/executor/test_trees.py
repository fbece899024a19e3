"""Odd things in repositories and workspaces, and that they are kept, committed and told as they are."""
import subprocess
import tempfile

import pytest

from executing import EMPTY_ENV
from kiln_testing.repositories import git
from kiln_testing.waiting import wait_for


def seeded(site, script):
    """A repository whose first commit a shell script has prepared."""
    repository = site.repository(seed=False)
    with tempfile.TemporaryDirectory(prefix="kiln-test-seed-") as folder:
        git("init", "-q", "-b", "main", folder)
        subprocess.run(["bash", "-euc", script], cwd=folder, env=EMPTY_ENV, check=True)
        git("commit", "-q", "-m", "First", cwd=folder)
        git("push", "-q", repository.url, "HEAD:refs/heads/main", cwd=folder, credentials=repository.credentials)
    return repository


LEFT_BEHIND = "git add big; git commit -q -m Big; git rm -q big; echo x >x; git add x"  # what is checked out is small


@pytest.mark.parametrize(
    "makes, settings, says",
    [("truncate -s 160M big", {"KILN_AGENT_MEMORY_BYTES": str(64 << 20)}, "more memory than there is"),
     ("head -c 3M /dev/urandom >big", {"KILN_AGENT_DISK_BYTES": str(1 << 20)}, "over 1048576 bytes")],
)  # fmt: skip
def test_a_history_that_is_more_than_a_fetch_may_take_is_rejected(own_executor, agents, site, makes, settings, says):
    executor = own_executor(**settings)
    finished, attempt = executor.run(seeded(site, f"{makes}; {LEFT_BEHIND}"), agents.write("cat >/dev/null"))
    error = finished["result"]["error"]
    assert error and error["class"] == "rejected" and says in error["message"] and not finished["retryable"], finished["result"]
    assert "agent" not in attempt.phases()


def test_submodules_modes_links_and_attributes_of_the_repository_stay_untouched(executor, agents, site):
    repository = seeded(
        site,
        r"""
        git update-index --add --cacheinfo 160000,1111111111111111111111111111111111111111,vendor/sub
        printf '[submodule "sub"]\n\tpath = vendor/sub\n\turl = https://example.org/sub.git\n' >.gitmodules
        printf '*.crlf text eol=crlf\n*.lfs filter=lfs diff=lfs merge=lfs -text\n*.id ident\n' >.gitattributes
        printf 'a\nb\n' >file.crlf; printf 'version https://git-lfs.github.com/spec/v1\n' >big.lfs; printf '$Id$\n' >x.id
        echo '#!/bin/sh' >run.sh; chmod +x run.sh; ln -s run.sh link; ln -s /etc/passwd outside; ln -s nowhere dangling
        mkdir -p "deep/er/dir"; echo x >"deep/er/dir/with space"; printf x >"$(printf 'new\nline')"; printf x >"$(printf 'not-utf8-\xff')"
        git add .gitmodules .gitattributes file.crlf big.lfs x.id run.sh link outside dangling deep "$(printf 'new\nline')" "$(printf 'not-utf8-\xff')"
        """,
    )
    base = repository.tip()
    idle, _ = executor.run(repository, agents.write("cat >/dev/null; touch run.sh file.crlf; git status --short"))
    assert idle["result"]["commit_sha"] is None and idle["result"]["files_changed"] == [], idle
    assert idle["result"]["output"] == ""
    script = r"cat >/dev/null; printf 'c\r\n' >>file.crlf; chmod -x run.sh; rm dangling; ln -sf link link2; printf y >>$(printf 'not-utf8-\xff'); mkdir empty"
    finished, _ = executor.run(repository, agents.write(script))
    assert finished["published"], finished
    with repository.clone() as clone:
        changes = clone.git("diff-tree", "-r", "--raw", base, "HEAD")
        assert changes.count(":") == 5 and "160000" not in changes and ":100755 100644" in changes
        assert clone.git("cat-file", "blob", "HEAD:file.crlf") == "a\nb\nc"
    assert sorted((change["path"], change["status"], change["added"], change["deleted"]) for change in finished["result"]["files_changed"]) == [
        ("dangling", "deleted", 0, 1), ("file.crlf", "modified", 1, 0), ("link2", "added", 1, 0), ("not-utf8-\ufffd", "modified", 1, 1),
        ("run.sh", "modified", 0, 0),
    ]  # fmt: skip


def test_files_that_become_folders_and_folders_that_become_files(executor, agents, site):
    repository = site.repository(**{"a": "file\n", "b/c": "in folder\n", "b/d": "too\n"})
    finished, _ = executor.run(repository, agents.write("cat >/dev/null; rm a; mkdir a; echo 1 >a/x; rm -r b; echo 2 >b"))
    assert finished["published"], finished
    with repository.clone() as clone:
        assert clone.files() == ["a/x", "b"]


def test_a_file_of_the_same_size_written_within_the_same_moment_is_seen(executor, agents, site):
    repository = site.repository(**{f"f{n}": "one\n" for n in range(50)})
    finished, _ = executor.run(repository, agents.write("cat >/dev/null; for f in f*; do printf 'two\\n' >$f; done"))
    assert len(finished["result"]["files_changed"]) == 50
    again, _ = executor.run(repository, agents.write("cat >/dev/null; for f in f*; do m=$(stat -c %y $f); printf 'six\\n' >$f; touch -d \"$m\" $f; done"))
    assert len(again["result"]["files_changed"]) == 50


def test_many_files_are_committed_and_the_list_of_changes_is_bounded(executor, agents, site):
    repository = site.repository()
    finished, attempt = executor.run(repository, agents.write("cat >/dev/null; mkdir many; cd many; seq 6000 | split -l 1 -a 4 - f"), timeout_s=100, deadline=100)
    assert finished["published"] and len(finished["result"]["files_changed"]) == 5000
    wait_for(lambda: any("5000 of 6000" in line for line in attempt.lines("kiln")), "the log to say so")


def test_names_that_git_must_not_write_are_left_out_and_told(executor, agents, site):
    repository = site.repository()
    script = "cat >/dev/null; mkdir -p sub/.git good; echo x >sub/.git/config; echo x >good/file; mkdir .GIT 2>/dev/null; echo x >.GIT/hooks || true; mkfifo pipe"
    finished, _ = executor.run(repository, agents.write(script))
    assert finished["outcome"] == "completed" and finished["published"], finished
    with repository.clone() as clone:
        assert "good/file" in clone.files() and not [path for path in clone.files() if ".git/" in path.lower()]
