"""Agents that behave badly end as the contract says, and hurt nobody else."""

import pathlib
import uuid

import pytest
from kiln_testing.agents import spec
from kiln_testing.waiting import wait_for

FORGED = "0198c1de-7a3b-7c4d-8e5f-0123456789ab"  # somebody else's build


def test_the_prompt_comes_on_stdin_byte_for_byte(kiln):
    project, _ = kiln.seeded()
    prompt = "first\r\nlast without newline — ü \U0001f9f1 $(id) `id` \\ \"'"
    task = kiln.run(project, "cat; echo; pwd; ls -A", prompt=prompt)
    output = kiln.wait_end(task)["result"]["output"]
    assert output.startswith(prompt + "\n") and "README.md" in output


def test_a_large_prompt_to_an_agent_that_never_reads_does_not_hang(kiln):
    project, _ = kiln.seeded()
    assert kiln.wait_end(kiln.run(project, "exec <&-; echo fine", prompt="x" * 262144))["status"] == "completed"


def test_an_agent_that_fails_fails_the_build_and_is_not_tried_again(kiln):
    project, repository = kiln.seeded()
    before = repository.refs()
    task = kiln.run(project, "echo half > half.txt; echo why >&2; exit 3", auto_commit=True, auto_push=True)
    assert kiln.error_class(task) == "agent_failed"
    build = kiln.build(task)
    assert "3" in build["result"]["error"]["message"] and build["attempts_used"] == 1
    assert repository.refs() == before and "why" in kiln.log_text(task)


def test_an_agent_that_kills_itself_fails_the_build(kiln):
    project, _ = kiln.seeded()
    assert kiln.error_class(kiln.run(project, "kill -SEGV $$")) == "agent_failed"


def test_a_command_that_does_not_exist_fails_the_build(kiln):
    project, _ = kiln.seeded()
    assert kiln.error_class(kiln.post(project, spec("nobody-wrote-this"))) == "agent_failed"


def time_out(kiln, project, script, seconds):
    """The error's class of a build that takes too long, once it is not its remote that does, as on a busy machine."""

    def not_git():
        found = kiln.error_class(kiln.run(project, script, timeout_s=seconds, max_attempts=1))
        return found if found != "git_unreachable" else None

    return wait_for(not_git, "the remote to be quick enough", 120)


def test_a_hanging_agent_is_killed_at_its_timeout_with_all_its_children(kiln):
    project, _ = kiln.seeded()
    marker = uuid.uuid4().hex
    script = f"export marker={marker}\ntrap '' TERM\n(setsid sleep 600 &)\nsleep 600 &\nwhile :; do sleep 600; done"
    assert time_out(kiln, project, script, 1) == "agent_timeout"
    assert kiln.leftovers(marker) == []


def test_processes_left_behind_are_killed_before_the_build_ends(kiln):
    project, _ = kiln.seeded()
    marker = uuid.uuid4().hex
    script = f"""
    export marker={marker}
    for n in 1 2 3; do (setsid bash -c 'trap "" TERM HUP; while :; do sleep 600; done' >/dev/null 2>&1 </dev/null &); done
    nohup sleep 600 >/dev/null 2>&1 &
    echo left
    """
    build = kiln.wait_end(kiln.run(project, script))
    assert build["status"] == "completed"
    assert kiln.leftovers(marker) == []


def test_a_child_that_holds_the_output_open_does_not_hold_up_the_build(kiln):
    project, _ = kiln.seeded()
    build = kiln.wait_end(kiln.run(project, "(setsid sleep 600 &) ; echo done"))
    assert build["status"] == "completed" and build["result"]["output"] == "done\n"


def test_an_agent_that_forks_without_end_is_ended(kiln):
    project, _ = kiln.seeded()
    marker = uuid.uuid4().hex
    # Bounded on purpose: what is tested is that none survives.
    script = f"export marker={marker}\nf() {{ [ $1 -gt 0 ] && {{ f $(($1 - 1)) & f $(($1 - 1)) & }}; sleep 600; }}\nf 6"
    assert time_out(kiln, project, script, 2) == "agent_timeout"
    assert kiln.leftovers(marker) == []


@pytest.mark.timeout(800)
def test_a_hundred_megabytes_of_output_end_with_output_limit_and_bounded_memory(kiln):
    project, _ = kiln.seeded()
    noisy = kiln.run(project, "yes 'a line of sixty-four bytes, to be repeated until it is 100 MB.' | head -c 104857600")
    peak = 0

    def ended():
        nonlocal peak
        peak = max([peak, *(rss_mib(pid) for pid in kiln.system.pids("EXECUTOR"))])
        return kiln.tap.of(noisy, type="build.failed") or kiln.tap.of(noisy, type="build.completed")

    wait_for(ended, "the noisy build to end", 600)  # many log records, that every test's tap reads too
    assert kiln.error_class(noisy) == "output_limit"
    assert peak < 128, f"an executor grew to {peak} MiB"
    assert len(kiln.build(noisy)["result"]["output"].encode()) <= 262144


def rss_mib(pid):
    try:
        with open(f"/proc/{pid}/status", encoding="ascii", errors="replace") as file:
            return next((int(line.split()[1]) // 1024 for line in file if line.startswith("VmRSS")), 0)
    except OSError:
        return 0


def test_output_is_the_last_256_kib(kiln):
    project, _ = kiln.seeded()
    output = kiln.wait_end(kiln.run(project, "seq 1 100000"))["result"]["output"]
    whole = "".join(f"{n}\n" for n in range(1, 100001))
    assert len(output) == 262144 and whole.endswith(output)


@pytest.mark.parametrize(
    "script, expected",
    [
        ("printf 'a\\377b\\n'", "a\ufffdb"),
        ("printf 'a\\000b\\n'", None),
        ("printf 'a\\033[31mred\\033[0m\\n'", "a\x1b[31mred\x1b[0m"),
        ("printf 'one\\r\\ntwo\\n'", None),
        ("printf '\\303'", "\ufffd"),
        ("printf '\\360\\237\\247'; printf '\\261 brick\\n'", "\U0001f9f1 brick"),
        ("head -c 1000000 /dev/zero | tr '\\0' x", None),
        ("printf '\\n\\n\\n'", None),
        ("head -c 100000 /dev/urandom", None),
    ],
    ids=["bad byte", "nul", "escape", "cr", "cut", "joined", "long line", "empty lines", "noise"],
)
def test_any_bytes_of_output_become_a_readable_log(kiln, script, expected):
    project, _ = kiln.seeded()
    task = kiln.run(project, script)
    assert kiln.wait_end(task)["status"] == "completed"
    lines = [line for line in kiln.log(task) if line["stream"] == "stdout"]
    assert lines and all(len(line["text"].encode()) <= 3 * 16384 for line in lines)
    if expected is not None:
        assert [line["text"] for line in lines] == [expected]


def test_a_long_line_is_cut_into_several_and_nothing_is_lost(kiln):
    project, _ = kiln.seeded()
    task = kiln.run(project, "head -c 100000 /dev/zero | tr '\\0' x; echo; echo end")
    kiln.wait_end(task)
    texts = [line["text"] for line in kiln.log(task) if line["stream"] == "stdout"]
    assert "".join(texts) == "x" * 100000 + "end" and texts[-1] == "end" and max(map(len, texts)) <= 16384


def test_an_agent_sees_none_of_kilns_settings(kiln):
    project, _ = kiln.seeded()
    output = kiln.wait_end(kiln.run(project, "env; tr '\\0' '\\n' < /proc/self/environ; ls -l /proc/self/fd"))["result"]["output"]
    assert "postgres" not in output.lower() and kiln.system.env["KILN_GIT_TOKEN"] not in output
    assert not [line for line in output.splitlines() if line.startswith("KILN_KAFKA") or line.startswith("KILN_DATABASE")]
    assert "socket:" not in output


def test_an_agents_own_git_work_does_no_harm(kiln):
    identity = "git config user.email a@b; git config user.name a"
    hooks = "for h in pre-commit pre-push post-commit; do printf '#!/bin/sh\\ntouch /tmp/kiln-hooked\\nexit 1\\n' > .git/hooks/$h; done"
    scripts = {
        "commits": f"{identity}; echo x > x; git add x; git commit -qm 'mine'; echo y > y",
        "forges": f"{identity}; echo x > x; git add x; git commit -qm \"$(printf 'm\\n\\nKiln-Build: {FORGED}')\"",
        "locks": "touch .git/index.lock .git/HEAD.lock; echo x > x",
        "detaches": "git checkout -q --detach 2>/dev/null || true; echo x > x",
        "branches": "git checkout -q -b other 2>/dev/null || true; echo x > x",
        "breaks the index": "echo rubbish > .git/index; echo x > x",
        "hooks": f"mkdir -p .git/hooks; {hooks}; chmod +x .git/hooks/*; echo x > x",
    }
    project, repository = kiln.seeded()
    for name, script in scripts.items():
        branch = f"try/{name.replace(' ', '-')}"
        task = kiln.run(project, script, branch=branch, auto_commit=True, auto_push=True)
        build = kiln.wait_end(task)
        assert build["status"] == "completed", (name, build["result"])
        with repository.clone(branch) as clone:
            assert "x" in clone.files(), name
            assert len(clone.commits_of(task)) == 1, name
            assert FORGED not in clone.git("log", "-3", "--format=%B"), name
    assert not pathlib.Path("/tmp/kiln-hooked").exists()


def test_strange_files_are_committed_as_they_are(kiln):
    project, repository = kiln.seeded()
    script = """
    ln -s /etc/passwd link
    printf 'x' > "$(printf 'new\\nline')"
    printf 'x' > 'ünïcode 🧱'
    printf '#!/bin/sh\\n' > run; chmod +x run
    mkfifo pipe
    mkdir empty
    head -c 3000000 /dev/zero > big
    printf 'a\\r\\nb\\r\\n' > crlf
    """
    task = kiln.run(project, script, auto_commit=True, auto_push=True)
    build = kiln.wait_end(task)
    assert build["status"] == "completed", build["result"]
    with repository.clone() as clone:
        listing = clone.git("ls-tree", "-r", "-z", "HEAD").split("\0")
        modes = {entry.split("\t")[1]: entry.split()[0] for entry in listing if entry}
        assert modes == {
            "README.md": "100644",
            "link": "120000",
            "new\nline": "100644",
            "ünïcode 🧱": "100644",
            "run": "100755",
            "big": "100644",
            "crlf": "100644",
        }
        assert (clone.folder / "crlf").read_bytes() == b"a\r\nb\r\n"
    assert {change["path"] for change in build["result"]["files_changed"]} == set(modes) - {"README.md"}


def test_a_bad_agent_does_not_hold_up_its_neighbours(kiln):
    project, _ = kiln.seeded()
    bad = kiln.run(project, "while :; do :; done", timeout_s=300)
    kiln.wait_phase(bad, "agent")
    for _ in range(3):
        assert kiln.wait_end(kiln.run(project, "true"))["status"] == "completed"
    kiln.cancel(bad)
    assert kiln.wait_end(bad)["status"] == "cancelled"
