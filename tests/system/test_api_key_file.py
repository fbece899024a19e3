"""`--api-key-file` of ./dev demo and ./dev up: what is no key is refused before anything is done, and a key reaches the executor's settings."""

import subprocess

import pytest
from kiln_testing import places
from kiln_testing.system import dev, own_environment

KEYS = {"anthropic": "sk-ant-test-0123456789", "other": "sk-test-0123456789"}
REFUSED = {
    "no file": (["--agent", "claude-code", "--api-key-file", "/nonexistent"], "no readable file '/nonexistent'"),
    "a folder": (["--agent", "claude-code", "--api-key-file", "/tmp"], "no readable file"),
    "no name": (["--agent", "opencode", "--api-key-file"], "needs a file"),
    "several lines": (["--agent", "opencode", "--api-key-file", "/etc/passwd"], "is not one line with a key"),
    "no agent with a model": (["--api-key-file", "{anthropic}"], "goes with --agent claude-code or opencode"),
    "somebody else's key": (["--agent", "claude-code", "--api-key-file", "{other}"], "wants a key of Anthropic's"),
}


@pytest.fixture
def keys(tmp_path):
    files = {}
    for name, key in KEYS.items():
        files[name] = tmp_path / name
        files[name].write_text(key + "\n", encoding="ascii")
    return files


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_no_key_is_refused_before_anything_is_done(tmp_path, keys, name):
    arguments, why = REFUSED[name]
    done = dev(tmp_path / "dev", "demo", *[argument.format(**keys) for argument in arguments])
    assert done.returncode == 2 and why in done.stderr and done.stdout == ""
    assert not (tmp_path / "dev").exists()
    assert not any(key in done.stderr for key in KEYS.values())


def executor_settings(tmp_path, key_file, **environment):
    """What `./dev up --api-key-file` gives executors, by its own functions; with the key's file as it lies there."""
    script = f"""
        set -euo pipefail
        cd {places.ROOT}
        ROOT=$PWD
        . deploy/dev/base.sh; . deploy/dev/place.sh; . deploy/dev/agent-programs.sh
        RUN={tmp_path}/run RUN_USER=$(id -un) AGENTS=1 VENDOR=1 AGENT_PROGRAMS=/programs ENVIRONMENT=()
        run_dir "$RUN"
        take_api_key "$(api_key --api-key-file {key_file})"
        agents_environment
        printf '%s\\n' "${{ENVIRONMENT[@]}}"
    """
    done = subprocess.run(["bash", "-c", script], env=own_environment() | environment, capture_output=True, text=True, timeout=60, check=True)
    settings = dict(line.split("=", 1) for line in done.stdout.splitlines())
    copy = tmp_path / "run/secrets/vendor-key"
    assert copy.stat().st_mode & 0o777 == 0o600
    return settings, copy


def test_a_key_of_anthropics_is_for_both_agents(tmp_path, keys):
    settings, copy = executor_settings(tmp_path, keys["anthropic"])
    assert copy.read_text(encoding="ascii") == KEYS["anthropic"] + "\n"
    assert settings["KILN_CLAUDE_CODE_KEY_FILE"] == settings["KILN_OPENCODE_KEY_FILE"] == str(copy)
    assert "KILN_CLAUDE_CODE_BASE_URL" not in settings  # Anthropic's, by itself
    assert (settings["KILN_OPENCODE_BASE_URL"], settings["KILN_OPENCODE_API"]) == ("https://api.anthropic.com/v1", "anthropic")
    assert "KILN_MODEL_PRICES" not in settings and settings["KILN_OPENCODE_MODEL"] != "scripted"


def test_another_key_goes_nowhere_but_to_its_vendor_or_where_the_caller_says(tmp_path, keys):
    settings, _ = executor_settings(tmp_path, keys["other"])
    assert not any(name.startswith("KILN_CLAUDE_CODE_") for name in settings)
    assert (settings["KILN_OPENCODE_BASE_URL"], settings["KILN_OPENCODE_API"]) == ("https://api.openai.com/v1", "openai")
    settings, _ = executor_settings(tmp_path, keys["other"], KILN_CLAUDE_CODE_BASE_URL="https://a.example", KILN_OPENCODE_MODEL="m")
    assert settings["KILN_CLAUDE_CODE_PROGRAM"] == "/programs/claude" and settings["KILN_OPENCODE_MODEL"] == "m"
