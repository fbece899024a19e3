"""How agents end badly, and that nothing of them is left."""
import pathlib
import time

import pytest

from databases import BIN

from kiln_testing.waiting import wait_for

ESCAPE = """
    cat >/dev/null
    # Out of the session, out of the parent, deaf to SIGTERM, without the descriptors that it was given.
    setsid bash -c 'trap "" TERM; for fd in $(ls /proc/self/fd); do [ $fd -gt 2 ] && eval "exec $fd>&-"; done; (sleep 1000 & sleep 1000) & sleep 1000' &
    disown -a
    (setsid setsid sleep 1000 &)
    echo started
"""


def error_of(finished):
    return finished["result"]["error"]["class"]


def test_a_failing_agent_is_agent_failed_and_publishes_nothing(executor, agents, site):
    repository = site.repository()
    base = repository.tip()
    finished, _ = executor.run(repository, agents.write("echo half >half; echo sorry >&2; exit 3"))
    assert finished["outcome"] == "failed" and error_of(finished) == "agent_failed" and not finished["retryable"]
    assert "3" in finished["result"]["error"]["message"] and finished["result"]["commit_sha"] is None
    assert repository.tip() == base


def test_an_agent_that_dies_by_a_signal_is_agent_failed(executor, agents, site):
    finished, _ = executor.run(site.repository(), agents.write("kill -SEGV $$"))
    assert error_of(finished) == "agent_failed" and "signal 11" in finished["result"]["error"]["message"]


@pytest.mark.parametrize("command", ["no-such-agent", "Bad/Name", "."])
def test_an_agent_that_is_not_there_fails_before_anything_is_fetched(executor, site, command):
    finished, attempt = executor.run(site.repository(), command)
    assert error_of(finished) == "agent_failed" and not finished["retryable"] and "agent" not in attempt.phases()


def test_a_program_that_cannot_be_executed_is_agent_failed(executor, agents, site):
    finished, _ = executor.run(site.repository(), agents.write("#!/no/such/interpreter\n"))
    assert error_of(finished) == "agent_failed"


def test_a_time_out_ends_the_agent_and_everything_it_started(executor, agents, site):
    repository, command = site.repository(), agents.write(ESCAPE + "\nsleep 1000")
    for timeout_s in (1, 4, 16, 64):  # the first that is long enough for an agent to start everything
        finished, attempt = executor.run(repository, command, timeout_s=timeout_s, deadline=120)
        assert error_of(finished) == "agent_timeout"
        assert not attempt.processes()
        if finished["result"]["output"]:
            break
    assert finished["result"]["output"] == "started\n"


def test_an_agent_that_ends_well_leaves_no_background_processes(executor, agents, site):
    finished, attempt = executor.run(site.repository(), agents.write(ESCAPE + "\necho made >file"))
    assert finished["outcome"] == "completed" and finished["published"]
    assert not attempt.processes()


def test_a_cancel_ends_the_agent_and_everything_it_started(executor, agents, site):
    repository = site.repository()
    base = repository.tip()
    attempt = executor.attempt(repository, agents.write(ESCAPE + "\nsleep 1000")).assign()
    wait_for(lambda: attempt.lines("stdout"), "the agent to run")
    attempt.cancel()
    finished = attempt.finished()
    assert finished["outcome"] == "cancelled" and error_of(finished) == "cancelled" and not finished["published"]
    assert not attempt.processes() and repository.tip() == base


def test_an_agent_that_is_told_to_end_may_still_say_something(own_executor, agents, site):
    executor = own_executor(KILN_KILL_GRACE_MS="20000")
    attempt = executor.attempt(site.repository(), agents.write("trap 'echo last words; exit 0' TERM; echo up; sleep 1000 & wait")).assign()
    wait_for(lambda: attempt.lines("stdout"), "the agent to run")
    attempt.cancel()
    assert attempt.finished()["outcome"] == "cancelled"
    attempt.wait_lines(["up", "last words"])


def test_a_cancel_before_the_agent_starts(executor, agents, site):
    attempt = executor.attempt(site.repository(), agents.write("sleep 1000")).assign()
    attempt.cancel()
    assert attempt.finished()["outcome"] == "cancelled" and not attempt.processes()


def test_printing_without_end_is_output_limit_with_bounded_memory(own_executor, agents, site):
    executor = own_executor(KILN_AGENT_OUTPUT_LIMIT=str(20_000_000))
    attempt = executor.attempt(site.repository(), agents.write("exec head -c 100000000 /dev/zero | tr '\\0' 'abcdefg\\n'"), timeout_s=100).assign()
    largest = 0
    started = time.monotonic()
    while not executor.service.seen(type="attempt.finished", **attempt.token) and time.monotonic() < started + 60:
        for pid in [executor.process.pid, *executor.children()]:
            try:
                text = pathlib.Path("/proc", str(pid), "status").read_text(encoding="utf-8", errors="replace")
                largest = max([largest, *(int(line.split()[1]) for line in text.splitlines() if line.startswith("RssAnon"))])
            except OSError:
                pass  # it has just ended
        time.sleep(0.02)
    finished = attempt.finished()
    assert error_of(finished) == "output_limit" and not finished["retryable"]
    assert len(finished["result"]["output"]) <= 256 * 1024
    sanitized = b"__asan_init" in (BIN / "kiln-executor").read_bytes() or b"__tsan_init" in (BIN / "kiln-executor").read_bytes()
    assert largest < 80_000 or sanitized, f"{largest} KiB"
    wait_for(lambda: sum(len(line) + 1 for line in attempt.lines("stdout")) >= 20_000_000, "all of the log")


def test_a_sandbox_that_cannot_be_started_is_not_the_agents_fault(own_executor, agents, site, place):
    bwrap = place / "bwrap"
    bwrap.symlink_to("/usr/bin/bwrap")
    executor = own_executor(KILN_SANDBOX="bwrap", KILN_BWRAP_PROGRAM=str(bwrap))
    bwrap.unlink()
    finished, _ = executor.run(site.repository(), agents.write("cat >/dev/null"))
    assert error_of(finished) == "sandbox_unavailable" and finished["retryable"], finished


def test_an_agent_whose_program_cannot_be_run_has_failed(executor, agents, site):
    finished, _ = executor.run(site.repository(), agents.write("#!/no/such/interpreter\n"))
    assert error_of(finished) == "agent_failed" and not finished["retryable"], finished


def test_a_key_file_without_a_key_before_the_agent_starts_is_model_unavailable_and_tried_again(own_executor, infra, site, place):
    key = place / "key"
    key.write_text("", encoding="ascii")
    infra.give(key, 0o600)
    executor = own_executor(KILN_CLAUDE_CODE_PROGRAM="/bin/true", KILN_CLAUDE_CODE_KEY_FILE=str(key))
    agent = {"provider": "claude-code", "model": None, "command": None, "max_turns": None, "max_tokens": None, "budget_usd": None}
    finished, attempt = executor.run(site.repository(), agent=agent)
    assert error_of(finished) == "model_unavailable" and finished["retryable"] and "agent" not in attempt.phases(), finished


def test_long_and_odd_lines_are_cut_and_made_utf8(executor, agents, site):
    script = r"""
        cat >/dev/null
        python3 - <<'END'
import sys
out = sys.stdout.buffer
out.write(b"x" * 40000 + b"\n" + b"\xff\xfe bad\n" + "ä".encode() * 20000 + b"\n" + b"\x1b[31mred\r\n" + b"\x01" * 20000 + b"\nno newline")
END
    """
    finished, attempt = executor.run(site.repository(), agents.write(script))
    assert finished["outcome"] == "completed"
    text = "x" * 40000 + "\ufffd\ufffd bad" + "ä" * 20000 + "\x1b[31mred" + "\x01" * 20000 + "no newline"
    wait_for(lambda: sum(map(len, attempt.lines("stdout"))) >= len(text), "all lines")
    lines = attempt.lines("stdout")
    assert all(len(line.encode()) <= 16384 for line in lines)
    assert "".join(lines) == text
    for record in executor.service.seen(type="build.log", **attempt.token):
        assert len(record.value) <= 65536


def test_the_agent_sees_an_environment_made_from_nothing(executor, agents, site):
    script = "cat >/dev/null; env | sort; pwd; ls -ld $HOME $TMPDIR; ls -l /proc/self/fd | wc -l; git status --short; git log --oneline | wc -l"
    finished, attempt = executor.run(site.repository(), agents.write(script))
    lines = finished["result"]["output"].splitlines()
    names = sorted(line.split("=")[0] for line in lines if "=" in line)
    assert [name for name in names if name not in ("PWD", "SHLVL", "_", "OLDPWD")] == [
        "GIT_TERMINAL_PROMPT", "HOME", "KILN_ATTEMPT", "KILN_BRANCH", "KILN_BUILD_ID", "KILN_LEASE_ID", "KILN_PROJECT", "LANG", "PATH", "TMPDIR",
    ]  # fmt: skip
    assert f"KILN_BUILD_ID={attempt.build_id}" in lines and "KILN_BRANCH=main" in lines
    assert site.system.env["KILN_GIT_TOKEN"] not in finished["result"]["output"]
    assert lines[-1] == "1" and finished["result"]["files_changed"] == []  # a clean working tree with its history


def test_an_agent_cannot_make_commits_run_its_hooks_or_configuration(executor, agents, site, place):
    repository = site.repository()
    script = f"""
        cat >/dev/null
        for hook in pre-commit pre-push post-commit reference-transaction post-index-change; do
            printf '#!/bin/sh\\ntouch {place}/hook-%s\\n' $hook >.git/hooks-$hook; mkdir -p .git/hooks; mv .git/hooks-$hook .git/hooks/$hook; chmod +x .git/hooks/$hook
        done
        git config core.fsmonitor 'touch {place}/fsmonitor; false'
        git config filter.evil.clean 'touch {place}/filter; cat'
        git config remote.pushDefault evil
        git config url.http://127.0.0.1:1/.insteadOf {site.url}/
        git config credential.helper '!touch {place}/credential'
        git config core.sshCommand 'touch {place}/ssh'
        git config diff.external 'touch {place}/diff'
        echo '* filter=evil' >.gitattributes
        echo data >file
    """
    finished, _ = executor.run(repository, agents.write(script))
    assert finished["published"], finished
    assert list(place.iterdir()) == []
    with repository.clone() as clone:
        assert clone.files() == [".gitattributes", "README.md", "file", "src/a.txt"]


@pytest.mark.parametrize(
    "script",
    [
        "rm -rf .git",
        "rm -rf .git; ln -s /etc .git",
        "rm .git/HEAD; mkfifo .git/HEAD",
        "echo 'ref: ../../../../etc/passwd' >.git/HEAD",
        "rm -rf .git/objects; ln -s / .git/objects",
        "git init -q nested; cd nested; git -c user.name=a -c user.email=a@b commit -q --allow-empty -m x; echo y >inside",
        "git checkout -q --orphan other; git commit -q -m 'no history'",
        "echo garbage >.git/index; echo 'gitdir: /nowhere' >sub; mkdir d; chmod 000 d; touch u; chmod 000 u",
        "git update-ref HEAD $(git commit-tree -m broken -p HEAD $(printf '100644 blob 1111111111111111111111111111111111111111\\tmissing\\n' | git mktree --missing))",
    ],
)  # fmt: skip
def test_a_hostile_repository_of_the_agents_costs_at_most_its_own_commits(executor, agents, site, script):
    repository = site.repository()
    base = repository.tip()
    finished, attempt = executor.run(repository, agents.write(f"cat >/dev/null; echo made >made.txt; {script}"))
    assert finished["outcome"] == "completed" and finished["published"], finished
    with repository.clone() as clone:
        assert clone.read("made.txt") == "made\n" and clone.read("README.md") == "# Test\n"
        assert clone.git("rev-parse", "HEAD^") == base
        assert clone.commits_of(attempt.build_id) == [finished["result"]["commit_sha"]]


def test_a_commit_of_more_files_than_are_staged_is_not_staged_upon(executor, agents, site):
    repository = site.repository()
    nested = "e=\"100644 blob $(git hash-object -w made.txt)\tf\"; for level in $(seq 10); do t=$(for n in $(seq 10); do echo \"$e$n\"; done | git mktree); e=\"040000 tree $t\td\"; done"
    script = f"cat >/dev/null; echo made >made.txt; {nested}; git update-ref HEAD $(git commit-tree $t -p HEAD -m Large)"
    finished, attempt = executor.run(repository, agents.write(script.replace("\t", "$(printf '\\t')")))
    assert finished["outcome"] == "completed" and finished["published"], finished
    wait_for(lambda: "over 500000 files and folders" in "".join(attempt.lines("kiln")), "the log to say so")
    with repository.clone() as clone:
        assert clone.git("log", "--format=%s", "HEAD~1", "-1").strip() == "Large"
        assert clone.files() == ["README.md", "made.txt", "src/a.txt"]


def test_a_merge_of_more_parents_than_are_taken_over_costs_the_agents_commits(executor, agents, site):
    repository = site.repository()
    base = repository.tip()
    parents = "for n in $(seq 17); do parents=\"${parents:-} -p $(git commit-tree HEAD^{tree} -p HEAD -m $n)\"; done"
    script = f"cat >/dev/null; echo made >made.txt; {parents}; git update-ref HEAD $(git commit-tree HEAD^{{tree}} $parents -m Octopus)"
    finished, attempt = executor.run(repository, agents.write(script))
    assert finished["outcome"] == "completed" and finished["published"], finished
    wait_for(lambda: "(a commit has too many parents)" in "".join(attempt.lines("kiln")), "the log to say so")
    with repository.clone() as clone:
        assert clone.git("rev-parse", "HEAD^") == base and clone.read("made.txt") == "made\n"
        assert clone.commits_of(attempt.build_id) == [finished["result"]["commit_sha"]]
