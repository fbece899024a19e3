"""README.md's screen of curl, as printed, on a system of its own."""
import json
import os
import pathlib
import re
import shutil
import subprocess
import tempfile

import httpx
import pytest
from kiln_testing import places
from kiln_testing.system import own_environment, read_env
from kiln_testing.waiting import wait_for


@pytest.fixture(scope="module")
def clone():
    """A folder that looks like a fresh clone, with the binaries that are there already: `.dev` is its own."""
    folder = tempfile.mkdtemp(prefix="kiln-test-readme-")
    os.chmod(folder, 0o755)
    for entry in places.ROOT.iterdir():
        if entry.name in ("dev", "README.md"):
            shutil.copy(entry, folder)
        elif not entry.name.startswith("."):
            os.symlink(entry, os.path.join(folder, entry.name))
    yield folder
    subprocess.run(["./dev", "down", "--clean"], cwd=folder, env=environment(folder), stdin=subprocess.DEVNULL, check=False, timeout=600)
    shutil.rmtree(folder, ignore_errors=True)


def environment(folder):
    return own_environment() | {"KILN_BIN": str(places.BIN), "HOME": folder}


def screen():
    text = (places.ROOT / "README.md").read_text(encoding="utf-8")
    block = re.search(r"^## One screen of curl\n+```sh\n(.*?)^```", text, re.M | re.S)[1]
    assert "./dev up" in block and "git" in block
    return block


def run(clone, script):
    return subprocess.run(
        ["bash", "-c", script], cwd=clone, env=environment(clone), stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=600, check=False
    )


def check_run(clone, notes):
    """One run of the screen, which leaves so many lines."""
    # What it writes goes with the clone, and the first line that fails ends it.
    script = f"set -euo pipefail\n{screen().replace('mktemp -d', f'mktemp -d -p {clone}')}\nprintf %s \"$out\" >{clone}/out"
    done = run(clone, script)
    assert done.returncode == 0, done.stdout + done.stderr
    out = pathlib.Path(pathlib.Path(clone, "out").read_text(encoding="utf-8"))
    build = json.loads((out / "build.json").read_text(encoding="utf-8"))
    assert build["status"] == "completed" and build["result"]["commit_sha"]
    assert done.stdout.endswith("\n" + "Remember the milk.\n" * notes)
    assert "build.completed" in done.stdout
    # The log is stored on a way of its own: on a busy machine it may not be there yet when the build has ended.
    wait_for(lambda: "noted" in done.stdout or "noted" in log_of(clone, build), "the log")


@pytest.mark.timeout(900)
def test_the_readmes_screen_of_curl_works_as_printed_and_once_more(clone):
    check_run(clone, 1)
    check_run(clone, 2)


@pytest.mark.timeout(900)
def test_the_readmes_screen_of_curl_ends_when_the_build_is_refused(clone):
    # As it is when somebody pastes it: a line that fails does not keep the next from running.
    done = run(clone, screen().replace('"name": "hello"', '"name": "No Name"').replace("mktemp -d", f"mktemp -d -p {clone}"))
    assert "validation-failed" in done.stdout and "build.completed" not in done.stdout


def log_of(clone, build):
    env = read_env(pathlib.Path(clone, ".dev", "env"))
    headers = {"Authorization": f"Bearer {env['KILN_TOKEN']}", "Accept": "text/plain"}
    return httpx.get(f"{env['KILN_URL']}/builds/{build['task_id']}/logs", headers=headers, timeout=60, trust_env=False).text
