"""Claude Code and OpenCode do their work in the sandbox: with these system calls, these limits, and a model at the end of a Unix socket."""
import contextlib
import os
import pathlib
import socket
import threading

import pytest
from model_api import script as steps
from model_api.server import Model

from test_model_address import proxy

CLAUDE = """#!/bin/bash
export ANTHROPIC_API_KEY=sk-none ANTHROPIC_BASE_URL=http://127.0.0.1:8080 CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC=1 CLAUDE_CODE_MAX_RETRIES=1 DISABLE_AUTOUPDATER=1
exec {PROGRAM} -p --output-format stream-json --verbose --permission-mode acceptEdits --allowedTools=Bash --setting-sources=user --strict-mcp-config
"""
OPENCODE = """#!/bin/bash
export OPENCODE_CONFIG_CONTENT='{"model":"kiln/m","small_model":"kiln/m","enabled_providers":["kiln"],"share":"disabled","autoupdate":false,"snapshot":false,
 "permission":{"*":"allow"},"agent":{"title":{"disable":true}},"provider":{"kiln":{"npm":"@ai-sdk/openai-compatible",
 "options":{"baseURL":"http://127.0.0.1:8080/v1","apiKey":"sk-none"},"models":{"m":{"tool_call":true}}}}}'
export OPENCODE_DISABLE_AUTOUPDATE=1 OPENCODE_DISABLE_MODELS_FETCH=1 OPENCODE_DISABLE_LSP_DOWNLOAD=1 OPENCODE_DISABLE_SHARE=1 OPENCODE_DISABLE_DEFAULT_PLUGINS=1
export OPENCODE_DISABLE_PROJECT_CONFIG=1 NPM_CONFIG_REGISTRY=http://127.0.0.1:9/
exec {PROGRAM} run --format json
"""


def pump(source, target):
    with contextlib.suppress(OSError):
        while part := source.recv(65536):
            target.sendall(part)
        target.shutdown(socket.SHUT_WR)


@pytest.fixture(scope="module")
def model():
    one = Model().start()
    yield one
    one.close()


@pytest.mark.parametrize("name, script", [("claude", CLAUDE), ("opencode", OPENCODE)])
def test_a_real_agent_writes_and_runs_what_its_model_says(world, model, name, script):
    folder = os.environ.get("KILN_TEST_AGENT_PROGRAMS")
    if not folder:
        pytest.fail("KILN_TEST_AGENT_PROGRAMS is not set: ./dev test does it")
    program = str(pathlib.Path(folder, name))

    def serve(client):
        """To the model, as the proxy does."""
        with client, socket.create_connection(("127.0.0.1", model.server.server_port)) as upstream:
            back = threading.Thread(target=pump, args=(upstream, client), daemon=True)
            back.start()
            pump(client, upstream)
            back.join(60)

    prompt = model.script([steps.write("hello.txt", "hello\n")], [steps.run("cat hello.txt > copy.txt; id -un > who.txt")], [steps.Say("Done.")])
    with proxy(world, serve) as path:
        said = world.run("bwrap", script.replace("{PROGRAM}", program), prompt, KILN_TEST_MODEL_SOCKET=path, KILN_SANDBOX_READABLE=folder, KILN_TEST_TIMEOUT_MS="250000", timeout=280)
    files = world.workspace(said["lease"]) / "files"
    assert said["success"] and "Done." in said["output"], said
    assert [(files / found).read_text() for found in ("hello.txt", "copy.txt", "who.txt")] == ["hello\n", "hello\n", "agent\n"], said
