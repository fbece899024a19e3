"""The real agents, with a scripted model: an executor that offers them, and builds that only it can get."""

import contextlib
import json
import os
import pathlib
import secrets
import uuid

import pytest
from model_api.script import CACHED_TOKENS, INPUT_TOKENS, OUTPUT_TOKENS
from model_api.server import Model

# Loaded machines start a program of 400 MB slowly.
DEADLINE = 400.0
# Of the models that Claude Code asks for. What OpenCode is told to use, "scripted", has none.
PRICES = {"claude-*": {"input": 3, "output": 15, "cache_read": 0.3, "cache_write": 3.75}}
# What one answer of the scripted model costs then.
ANSWER_USD = (3 * INPUT_TOKENS + 15 * OUTPUT_TOKENS + 0.3 * CACHED_TOKENS) / 1e6


def program(name):
    """One of the programs that ./dev test has installed."""
    folder = os.environ.get("KILN_TEST_AGENT_PROGRAMS")
    if not folder:
        pytest.fail("KILN_TEST_AGENT_PROGRAMS is not set: ./dev test does it")
    return str(pathlib.Path(folder, name))


class CodeAgents:
    """What tests of the real agents share: the model, the key, and the executor's label."""

    def __init__(self, system):
        self.system = system
        self.model = Model().start()
        self.label = f"agents-{uuid.uuid4().hex[:12]}"
        self.key = f"sk-test-{secrets.token_hex(16)}"
        self.key_file = pathlib.Path(system.env["KILN_STATE_DIR"]).parent / self.label
        self.key_file.write_text(f"{self.key}\n", encoding="ascii")
        system.give(self.key_file, 0o600)

    def variables(self, **more):
        """An executor's settings."""
        return {
            "KILN_CLAUDE_CODE_PROGRAM": program("claude"),
            "KILN_CLAUDE_CODE_KEY_FILE": str(self.key_file),
            "KILN_CLAUDE_CODE_BASE_URL": self.model.url,
            "KILN_OPENCODE_PROGRAM": program("opencode"),
            "KILN_OPENCODE_KEY_FILE": str(self.key_file),
            "KILN_OPENCODE_BASE_URL": f"{self.model.url}/v1",
            "KILN_OPENCODE_MODEL": "scripted",
            "KILN_MODEL_RETRIES": "1",
            "KILN_MODEL_PRICES": json.dumps(PRICES),
            "KILN_KILL_GRACE_MS": "2000",
            **more,
        }

    def close(self):
        self.model.close()
        self.key_file.unlink(missing_ok=True)

    def post(self, kiln, project, provider, *steps, agent=None, **fields):
        """A build whose agent's model does these steps; (task, prompt)."""
        prompt = f"Please do as you are scripted. {self.model.script(*steps)}"
        body = {"prompt": prompt, "agent": {"provider": provider, **(agent or {})}, "labels": [self.label], "max_attempts": 1, **fields}
        return kiln.post(project, body), prompt


@contextlib.contextmanager
def code_agents(system, slots=4, **variables):
    lab = CodeAgents(system)
    try:
        with system.executor(slots, (lab.label,), **lab.variables(**variables)) as executor:
            lab.executor = executor
            yield lab
    finally:
        lab.close()
