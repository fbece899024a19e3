"""An agent that makes no progress is ended; one that does is not."""
import pathlib
import shutil

import kiln_testing
import pytest
from kiln_testing.system import free_folder
from model_api.script import Say
from model_api.server import Model

STAND_IN = pathlib.Path(kiln_testing.__file__).with_name("stand_in_agent.py")


@pytest.fixture(scope="module")
def model():
    one = Model().start()
    yield one
    one.close()


@pytest.fixture
def stand_in(infra, model):
    """Settings of an executor whose Claude Code does what its prompt says in Python."""
    folder = free_folder("kiln-test-stand-in-")
    folder.chmod(0o755)
    program, key = folder / "claude", folder / "key"
    shutil.copyfile(STAND_IN, program)
    program.chmod(0o755)
    key.write_text("sk-test-0123456789\n", encoding="ascii")
    infra.give(key, 0o600)
    yield {"KILN_CLAUDE_CODE_PROGRAM": str(program), "KILN_CLAUDE_CODE_KEY_FILE": str(key), "KILN_CLAUDE_CODE_BASE_URL": model.url}
    shutil.rmtree(folder)


def test_an_agent_that_says_nothing_is_ended_with_all_that_it_started(own_executor, agents, site):
    executor = own_executor(KILN_AGENT_NO_PROGRESS_S="1")
    repository = site.repository()
    base = repository.tip()
    finished, attempt = executor.run(repository, agents.write("trap '' TERM; echo made >file; (setsid sleep 1000 &); while :; do sleep 1000; done"))
    assert finished["outcome"] == "failed" and finished["result"]["error"]["class"] == "no_progress" and not finished["retryable"]
    assert not attempt.processes() and repository.tip() == base


def busy(executor, agents, site, model, kind, seconds):
    """The end of an agent that prints, or asks its model, ten times a second and says nothing else."""
    if kind == "prints":
        return executor.run(site.repository(), agents.write(f"cat >/dev/null; for n in $(seq {seconds * 10}); do echo $n; sleep 0.1; done"))[0]
    code = f"import time\nend = time.monotonic() + {seconds}\nwhile time.monotonic() < end:\n    ask({model.script(*[Say('yes')] * seconds * 12)!r})\n    time.sleep(0.1)"
    agent = {"provider": "claude-code", "model": None, "command": None, "max_turns": None, "max_tokens": None, "budget_usd": None}
    return executor.run(site.repository(), prompt=code, agent=agent)[0]


@pytest.mark.parametrize("kind", ["prints", "asks its model"])
def test_an_agent_goes_on_that_now_and_then(own_executor, agents, site, model, stand_in, kind):
    for limit_s in (1, 4, 16):  # of a busy machine even such an agent may hear nothing for a while
        executor = own_executor(KILN_AGENT_NO_PROGRESS_S=str(limit_s), **stand_in)
        finished = busy(executor, agents, site, model, kind, 2 * limit_s)
        if finished["outcome"] == "completed":
            return
        assert finished["result"]["error"]["class"] == "no_progress", finished
    pytest.fail("it was ended")
