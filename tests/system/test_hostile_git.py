"""Remotes and repositories that mean harm, and what an agent may leave in one."""

import pathlib
import subprocess
import tempfile
import uuid

import pytest
from kiln_testing.agents import many_commits
from kiln_testing.repositories import EMPTY_ENV, git

RAN = "echo the agent ran; echo x > x.txt"

NESTED = r"""
e="100644 blob $b\tf"
for level in $(seq {levels}); do t=$(for n in $(seq {entries}); do printf "$e$n\n"; done | git mktree); e="040000 tree $t\td"; done
"""
# Shell that leaves the id of a tree in $t, what the build's error says of it, and the worker's settings.
TOO_LARGE = {
    "files in folders that are the same one": ("b=$(echo x | git hash-object -w --stdin)" + NESTED.format(levels=10, entries=10), "over 500000 files and folders", {}),
    "files in one folder": (r"b=$(echo x | git hash-object -w --stdin); t=$(seq 500001 | sed s/^/100644\ blob\ $b\\tf/ | git mktree)", "over 500000 files and folders", {}),
    "bytes": ("b=$(head -c 64M /dev/zero | git hash-object -w --stdin)" + NESTED.format(levels=3, entries=10), "over 17179869184 bytes of files", {}),
    "depth": ("b=$(echo x | git hash-object -w --stdin)" + NESTED.format(levels=300, entries=1), "folders more than 256 deep", {}),
    "memory": ("b=$(head -c 128M /dev/zero | git hash-object -w --stdin)" + NESTED.format(levels=1, entries=1), "more memory than there is", {"KILN_AGENT_MEMORY_BYTES": str(64 << 20)}),
}  # fmt: skip


def push_tree(repository, script):
    with tempfile.TemporaryDirectory(prefix="kiln-test-seed-") as folder:
        git("init", "-q", folder)
        made = subprocess.run(["bash", "-euc", script + "\necho $t"], cwd=folder, env=EMPTY_ENV, stdout=subprocess.PIPE, check=True, text=True, timeout=100)
        commit = git("commit-tree", "-m", "First", made.stdout.strip(), cwd=folder).strip()
        git("push", "-q", repository.url, f"{commit}:refs/heads/main", cwd=folder, credentials=repository.credentials)


def test_a_redirect_is_not_followed(kiln, hostile):
    def never(handler):
        handler.send_response(200)
        handler.end_headers()

    target = hostile(never)

    def redirect(handler):
        handler.send_response(302)
        handler.send_header("Location", f"{target.url}{handler.path}")
        handler.end_headers()

    project = kiln.project(git_url=f"{hostile(redirect).url}/x.git")
    assert kiln.error_class(kiln.run(project, RAN, max_attempts=1)) == "git_unreachable"
    assert target.requests == []


def test_a_remote_that_talks_rubbish_fails_the_build(kiln, hostile):
    def rubbish(handler):
        handler.send_response(200)
        handler.send_header("Content-Type", "application/x-git-upload-pack-advertisement")
        handler.end_headers()
        handler.wfile.write(b"001e# service=git-upload-pack\n0000" + b"\xff" * 100_000)

    project = kiln.project(git_url=f"{hostile(rubbish).url}/x.git")
    assert kiln.error_class(kiln.run(project, RAN, max_attempts=1)) == "git_unreachable"


def test_a_remote_that_never_answers_does_not_hold_the_build_past_its_timeout(kiln, hostile):
    project = kiln.project(git_url=f"{hostile(lambda handler: handler.server.stop.wait(60)).url}/x.git")
    task = kiln.run(project, RAN, timeout_s=2, max_attempts=1)
    assert kiln.error_class(task) in ("git_unreachable", "agent_timeout")


def test_a_remote_that_sends_without_end_does_not_hold_the_build_past_its_timeout(kiln, hostile):
    def flood(handler):
        handler.send_response(200)
        handler.send_header("Content-Type", "application/x-git-upload-pack-advertisement")
        handler.end_headers()
        line = b"003d" + b"1" * 40 + b" refs/heads/aaaaaaaaa\n"
        while not handler.server.stop.is_set():
            handler.wfile.write(line * 1000)

    server = hostile(flood)
    project = kiln.project(git_url=f"{server.url}/x.git")
    task = kiln.run(project, RAN, timeout_s=3, max_attempts=1)
    assert kiln.error_class(task) in ("git_unreachable", "agent_timeout")
    server.stop.set()


def test_a_repositorys_own_filters_and_hooks_are_not_run(kiln):
    marker = pathlib.Path(f"/tmp/kiln-ran-{uuid.uuid4().hex}")
    project, _ = kiln.seeded(
        {
            ".gitattributes": "* filter=evil diff=evil merge=evil\n",
            ".gitconfig": f'[filter "evil"]\n clean = touch {marker}\n smudge = touch {marker}\n[core]\n fsmonitor = touch {marker}\n',
            "hooks/post-checkout": f"#!/bin/sh\ntouch {marker}\n",
            ".gitmodules": '[submodule "x"]\n path = x\n url = ext::sh -c touch% ' + str(marker) + "\n",
            "a.txt": "a\n",
        }
    )
    build = kiln.wait_end(kiln.run(project, "echo b > a.txt", auto_commit=True, auto_push=True))
    assert build["status"] == "completed" and not marker.exists()


def test_an_agents_git_config_is_not_obeyed_by_kilns_git(kiln):
    marker = pathlib.Path(f"/tmp/kiln-ran-{uuid.uuid4().hex}")
    project, repository = kiln.seeded()
    script = f"""
    echo x > x.txt
    for name in core.fsmonitor core.sshCommand core.pager core.editor credential.helper gpg.program core.gitProxy; do
        git config $name "touch {marker}; true" 2>/dev/null || true
    done
    git config commit.gpgSign true 2>/dev/null || true
    git config http.proxy http://127.0.0.1:1 2>/dev/null || true
    git config url.http://127.0.0.1:1/.insteadOf {repository.url} 2>/dev/null || true
    """
    build = kiln.wait_end(kiln.run(project, script, auto_commit=True, auto_push=True))
    assert build["status"] == "completed", build["result"]
    assert not marker.exists() and repository.tip() == build["result"]["commit_sha"]


def test_no_token_is_left_where_an_agent_could_read_it(kiln):
    project, _ = kiln.seeded()
    token = kiln.system.env["KILN_GIT_TOKEN"]
    # Above a sandboxed workspace are the root and all of /proc and /usr.
    places = '$(if [ "$PWD" = /workspace ]; then echo . "$HOME" "$TMPDIR" /run /etc; else echo ..; fi)'
    files = f"find {places} -maxdepth 3 -type f -size -64k -print0 2>/dev/null | xargs -0 cat 2>/dev/null"
    script = f"cat .git/config; git config --list; env; {files} | tr -cd '[:print:]\\n' || true"
    task = kiln.run(project, script)
    kiln.wait_end(task)
    assert token not in kiln.log_text(task)


@pytest.mark.parametrize("what", TOO_LARGE)
def test_a_repository_that_is_more_than_a_worker_takes_is_rejected_and_holds_nobody_up(kiln, what):
    script, says, settings = TOO_LARGE[what]
    label = kiln.name("large")
    project = kiln.project()
    push_tree(kiln.repository(project), script)
    neighbours, _ = kiln.seeded()
    with kiln.system.executor(slots=2, labels=[label], **settings):
        task = kiln.run(project, RAN, labels=[label])
        neighbour = kiln.run(neighbours, "echo ran", labels=[label])
        build = kiln.wait_end(task)
        assert build["status"] == "failed" and build["result"]["error"]["class"] == "rejected", build["result"]
        assert says in build["result"]["error"]["message"]
        assert build["attempts_used"] == 1 and build["result"]["agent"] is None and build["result"]["duration_ms"] < 60_000
        assert kiln.wait_end(neighbour)["status"] == "completed"


def test_what_cannot_be_made_ready_in_time_ends_its_build_and_frees_the_slot(kiln, hostile):
    label = kiln.name("slow")
    project = kiln.project(git_url=f"{hostile(lambda handler: handler.server.stop.wait(200)).url}/x.git")
    others, _ = kiln.seeded()
    with kiln.system.executor(slots=1, labels=[label], KILN_PREPARE_TIMEOUT_MS="5000"):
        slow = kiln.run(project, RAN, labels=[label])
        after = kiln.run(others, "echo ran", labels=[label])
        build = kiln.wait_end(slow)
        assert build["status"] == "failed" and build["result"]["error"]["class"] == "rejected", build["result"]
        assert "could not be made ready for the agent in time" in build["result"]["error"]["message"]
        assert build["attempts_used"] == 1
        assert kiln.wait_end(after)["result"]["output"] == "ran\n"


def test_more_commits_than_kiln_takes_over_are_no_reason_to_run_the_agent_again(kiln):
    project, repository = kiln.seeded()
    base = repository.tip()
    task = kiln.run(project, f"{many_commits(10_001)}; echo x > x.txt", auto_commit=True, auto_push=True)
    build = kiln.wait_end(task)
    assert build["status"] == "completed" and build["attempts_used"] == 1, build["result"]
    assert "the agent's own commits cannot be used (they are too many)" in kiln.log_text(task)
    with repository.clone() as clone:
        assert clone.commits_of(task) == [build["result"]["commit_sha"]]
        assert clone.git("rev-parse", "HEAD^") == base and clone.read("x.txt") == "x\n"


def test_what_cannot_be_committed_in_time_ends_its_build_and_frees_the_slot(kiln):
    label = kiln.name("slow")
    rules = "seq -f '*a*b*%.0f' 60000 > .gitignore; mkdir d; cd d; seq 10000 | xargs touch"  # each name against each rule: minutes
    with kiln.system.executor(slots=1, labels=[label], KILN_COMMIT_TIMEOUT_MS="2000"):
        project, repository = kiln.seeded()
        slow = kiln.run(project, rules, auto_commit=True, auto_push=True, labels=[label])
        after = kiln.run(project, "echo ran; exit 1", labels=[label])
        build = kiln.wait_end(slow)
        assert build["status"] == "failed" and build["result"]["error"]["class"] == "agent_failed", build["result"]
        assert "could not be committed in time" in build["result"]["error"]["message"]
        assert build["result"]["commit_sha"] is None and build["attempt"] == 1
        assert "ran" in kiln.wait_end(after)["result"]["output"]
