"""Every way out that we could think of, tried by an agent with the complete profile of production, and the same without a sandbox."""
import pathlib
import platform

import pytest

import cases

X86 = pytest.mark.skipif(platform.machine() != "x86_64", reason="the table has x86-64's numbers of system calls")


def attempt(world, sandbox, case):
    world.restock()
    return world.run(sandbox, case.script, KILN_TEST_OBJECTS=str(world.root / "objects"))


def holds(world, case):
    said = attempt(world, "bwrap", case)
    assert "TRIED" in said["output"], said
    assert "ESCAPED" not in said["output"], said


def is_open_without(world, case):
    said = attempt(world, "none", case)
    assert "ESCAPED" in said["output"], said


def named(table):
    return [pytest.param(case, id=case.name) for case in table]


@pytest.mark.parametrize("case", named(cases.ALL))
def test_an_agent_does_not_get_to(world, case):
    holds(world, case)


@X86
@pytest.mark.parametrize("case", named(cases.CALLS))
def test_an_agent_cannot_call(world, case):
    holds(world, case)


@pytest.mark.parametrize("case", named(case for case in cases.ALL if case.open))
def test_without_a_sandbox_an_agent_gets_to(world, case):
    is_open_without(world, case)


@X86
@pytest.mark.parametrize("case", named(case for case in cases.CALLS if case.open))
def test_without_a_sandbox_an_agent_can_call(world, case):
    is_open_without(world, case)


def test_what_an_agent_may_write_is_its_workspace_its_home_and_its_tmp(world):
    said = world.run("bwrap", "#!/bin/sh\nset -e\npwd; echo a >a; echo b >$HOME/b; echo c >$TMPDIR/c; echo d >/var/tmp/d; echo e >/dev/shm/e; echo $HOME $TMPDIR; id -un")
    assert said["success"] and said["output"] == "/workspace\n/home/agent /tmp\nagent\n", said
    place = world.workspace(said["lease"])
    assert [(place / name).read_text() for name in ("files/a", "home/b", "tmp/c", "tmp/d")] == ["a\n", "b\n", "c\n", "d\n"]


@pytest.mark.parametrize("sandbox, shared", [("bwrap", False), ("none", True)])
def test_the_machines_tmp_is_written_to_only_without_a_sandbox(world, sandbox, shared):
    said = world.run(sandbox, "#!/bin/sh\necho x >/tmp/kiln-test-$KILN_LEASE_ID && echo WROTE")
    there = pathlib.Path(f"/tmp/kiln-test-{said['lease']}")
    found = there.exists()
    there.unlink(missing_ok=True)
    assert said["output"] == "WROTE\n" and found == shared, said


def test_a_program_may_be_a_link_to_elsewhere(world):
    real = world.root / "tools" / "real"
    real.parent.mkdir(exist_ok=True)
    real.write_text("#!/bin/sh\necho linked\n")
    real.chmod(0o755)
    link = world.root / "link"
    link.unlink(missing_ok=True)
    link.symlink_to(real)
    said, _ = world.start("bwrap", link).communicate(timeout=100)
    assert "linked" in said.decode()


def test_the_environment_is_the_same_for_each_but_for_what_the_build_is(world):
    said = [world.run("bwrap", "#!/bin/sh\nenv | sort")["output"] for _ in range(2)]
    known = {"HOME", "KILN_ATTEMPT", "KILN_BRANCH", "KILN_BUILD_ID", "KILN_LEASE_ID", "KILN_PROJECT", "LANG", "PATH", "PWD", "TMPDIR", "GIT_TERMINAL_PROMPT"}
    lines = [set(text.splitlines()) for text in said]
    assert {line.partition("=")[0] for line in lines[0]} == known
    assert {line.partition("=")[0] for line in lines[0] ^ lines[1]} == {"KILN_BUILD_ID", "KILN_LEASE_ID"}


def test_borrowed_objects_can_be_read(world):
    world.restock()
    said = world.run("bwrap", "#!/bin/sh\ncat /run/kiln/objects/pack/pack-1.pack", KILN_TEST_OBJECTS=str(world.root / "objects"))
    assert said["output"].strip() == world.secret


def test_what_the_operator_shows_can_be_read_and_not_written(world):
    script = "#!/bin/sh\ncat {ROOT}/host/secret; echo x >{ROOT}/host/new || echo refused"
    said = world.run("bwrap", script, KILN_SANDBOX_READABLE=f"{world.root}/host")
    assert said["output"].split() == [world.secret, "refused"], said


@pytest.mark.parametrize("script, message", [("exit 7", "exit status 7"), ("kill -SEGV $$", "signal 11"), ("kill -KILL $$", "signal 9")])
def test_how_the_agent_ended_is_told_through_the_sandbox(world, script, message):
    said = world.run("bwrap", f"#!/bin/sh\n{script}\n")
    assert said["end"] == "exited" and not said["success"] and message in said["message"], said


def test_an_agent_that_cannot_be_run_fails_its_build(world):
    said = world.run("bwrap", "#!/no/such/interpreter\n")
    assert said["end"] == "not_started" and "cannot be run" in said["message"], said


def test_an_agent_may_end_in_its_own_way_when_it_is_asked_to(world):
    script = "#!/bin/bash\ntrap 'echo asked; exit 0' TERM\necho ready\nwhile :; do sleep 0.02; done"
    for timeout_ms in ("1000", "5000", "25000"):  # again when the machine was too slow for it to get ready
        said = world.run("bwrap", script, KILN_TEST_TIMEOUT_MS=timeout_ms, KILN_KILL_GRACE_MS="30000")
        if "ready" in said["output"]:
            break
    assert said["end"] == "timed_out" and said["output"] == "ready\nasked\n", said
