"""./dev tells what it does not understand before it does anything."""

import pytest
from kiln_testing.system import dev

REFUSED = {
    "a preset that is none": (["up", "--preset", "nosuch", "--no-build"], "no preset 'nosuch'"),
    "a preset that cannot be built": (["up", "--preset", "base"], "no preset 'base'"),
    "a preset without a name": (["up", "--preset"], "--preset needs a name"),
    "an agent without a name": (["demo", "--agent"], "--agent needs a name"),
    "minutes that are none": (["chaos", "--minutes", "x"], "--minutes needs a number, not 'x'"),
    "the same with =": (["chaos", "faults", "--minutes=x"], "--minutes needs a number, not 'x'"),
    "minutes without a number": (["chaos", "--seed", "1", "--minutes"], "--minutes needs a value"),
    "an option of no chaos": (["chaos", "--lenient", "--uncounted", "2", "--nosuch"], "unknown option --nosuch"),
    "an option of some benchmarks": (["bench", "--quick"], "unknown option --quick"),
}
HELPED = {
    "test": (["test", "--help"], "usage: ./dev test [--long]"),
    "chaos": (["chaos", "--help"], "usage: ./dev chaos faults [--minutes N]"),
    "one benchmark": (["bench", "list", "-h"], "usage: ./dev bench list [--builds N]"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_wrong_is_told_before_anything_is_done(tmp_path, name):
    arguments, why = REFUSED[name]
    done = dev(tmp_path / "dev", *arguments)
    assert done.returncode == 2 and why in done.stderr and done.stdout == "", done.stderr
    assert not (tmp_path / "dev").exists()


@pytest.mark.parametrize("name", HELPED)
def test_who_asks_for_help_gets_that_alone(tmp_path, name):
    arguments, usage = HELPED[name]
    done = dev(tmp_path / "dev", *arguments)
    assert done.returncode == 0 and done.stdout.startswith(usage) and done.stderr == ""
    assert not (tmp_path / "dev").exists()


def test_binaries_that_are_not_there_are_missed_before_anything_is_started(tmp_path):
    done = dev(tmp_path / "dev", "up", "--no-build", env={"KILN_BIN": str(tmp_path)})
    assert done.returncode == 1 and f"no binaries in {tmp_path}" in done.stderr
    assert not (tmp_path / "dev").exists()
