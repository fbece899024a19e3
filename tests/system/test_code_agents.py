"""Claude Code and OpenCode as they are, each with a scripted model in place of its vendor's, do builds; and whatever goes wrong
between them and the model ends as the contract says.

An agent takes seconds to start: the builds of a provider are posted together, and each test waits for its own.
"""

import pytest
from kiln_testing.code_agents import ANSWER_USD, DEADLINE, code_agents
from kiln_testing.waiting import wait_for
from model_api.script import Again, Cut, Fail, Finish, Rubbish, Say, Stall, edit, fetch, run, write

WORK = (
    [Say("I begin."), write("hello.txt", "hello wrld\n")],
    edit("hello.txt", "wrld", "world"),
    run("cat hello.txt > copy.txt; echo listed; ls; env"),
    Say("Both files say hello."),
)

# What a build of each name is scripted to meet, and asks for. Retries of the client itself: one (KILN_MODEL_RETRIES).
CLAUDE_CODE = {
    "stall": ((Stall(),), {"timeout_s": 20}),
    "work": (WORK, {"auto_commit": True, "auto_push": True, "commit_message": "Say hello"}),
    "401": ((Fail(401),), {"max_attempts": 2}),
    "400": ((Fail(400),), {"max_attempts": 2}),
    "429": ((Fail(429),), {}),
    "500": ((Fail(500),), {}),
    "529": ((Fail(529),), {}),
    "cut": ((Cut(),), {}),
    "early end": ((Finish(), Again()), {}),
    "rubbish": ((Rubbish(),), {}),
    "500 once": ((Fail(500, times=1), Say("Now it works.")), {}),
    "cut once": ((Cut(times=1), Say("Now it works.")), {}),
    "denied": ((write("/etc/kiln-test-denied", "x"), fetch("http://127.0.0.1:9/"), Say("I may not.")), {}),
    "loop": ((run("true"), Again()), {"agent": {"max_turns": 3}}),
    "dear": ((run("true"), Again()), {"agent": {"budget_usd": 0.012}}),
    "long-winded": ((run("true"), Again()), {"agent": {"max_tokens": 3000}}),
    "odd bytes": ((run("printf 'a\\000b\\377c\\n'"), Say("n\0l \U0001f9f1")), {}),
}
OPENCODE = {
    "work": (WORK, {"auto_commit": True, "auto_push": True, "commit_message": "Say hello"}),
    "401": ((Fail(401),), {"max_attempts": 2}),
    "denied": ((write("/etc/kiln-test-denied", "x"), Say("I may not.")), {}),
    "loop": ((run("true"), Again()), {"agent": {"max_turns": 3}}),
}


pytestmark = pytest.mark.timeout(2 * DEADLINE)


@pytest.fixture(scope="module")
def lab(shared_system, shared_tap):
    with code_agents(shared_system) as lab:
        yield lab


class Builds:
    """One provider's builds, posted together; only one of them commits."""

    def __init__(self, lab, kiln, provider, cases):
        self.project, self.repository = kiln.seeded()
        self.posted = {name: lab.post(kiln, self.project, provider, *steps, **fields) for name, (steps, fields) in cases.items()}

    def task(self, name):
        return self.posted[name][0]

    def prompt(self, name):
        return self.posted[name][1]

    def end(self, kiln, name):
        return kiln.wait_end(self.task(name), DEADLINE)

    def error(self, kiln, name):
        build = self.end(kiln, name)
        assert build["status"] == "failed", build["result"]
        return build["result"]["error"]


@pytest.fixture(scope="module")
def posted():
    return {}


@pytest.fixture
def claude(posted, lab, kiln):
    if "claude-code" not in posted:
        posted["claude-code"] = Builds(lab, kiln, "claude-code", CLAUDE_CODE)
    return posted["claude-code"]


@pytest.fixture
def opencode(posted, lab, kiln):
    if "opencode" not in posted:
        posted["opencode"] = Builds(lab, kiln, "opencode", OPENCODE)
    return posted["opencode"]


def is_committed(repository, task):
    with repository.clone() as clone:
        assert len(clone.commits_of(task)) == 1
        assert (clone.folder / "hello.txt").read_text() == (clone.folder / "copy.txt").read_text() == "hello world\n"


# -- Claude Code


def test_claude_code_writes_edits_runs_and_is_committed(kiln, claude):
    task = claude.task("work")
    build = claude.end(kiln, "work")
    assert build["status"] == "completed", build["result"]
    assert build["result"]["output"] == "Both files say hello."
    assert {change["path"] for change in build["result"]["files_changed"]} == {"hello.txt", "copy.txt"}
    is_committed(claude.repository, task)
    log = kiln.log_text(task)
    assert "I begin." in log and "[Write] " in log and "[Bash] " in log and "listed" in log and "Both files say hello." in log


def test_claude_code_says_who_it_is_and_what_it_took(kiln, claude):
    agent = claude.end(kiln, "work")["result"]["agent"]
    assert agent["provider"] == "claude-code" and agent["version"][0].isdigit() and agent["model"] and agent["session_id"]
    assert agent["turns"] == 4
    assert agent["tokens"] == {"input": 4000, "output": 200, "cached": 800}
    assert agent["cost_usd"] == pytest.approx(4 * ANSWER_USD) and agent["permission_denials"] == []


def test_the_model_gets_the_key_and_the_log_does_not(kiln, lab, claude):
    task, prompt = claude.posted["work"]
    build = claude.end(kiln, "work")
    assert {request["headers"].get("x-api-key") for request in lab.model.asked(prompt)} == {lab.key}
    log = kiln.log_text(task)
    assert "ANTHROPIC_API_KEY=[masked]" in log  # its model has run `env`
    assert lab.key not in log and lab.key not in str(build)
    assert lab.key not in lab.executor.log_path.read_text(errors="replace")


def test_claude_code_sees_the_sandboxs_home_and_none_of_kilns_settings(kiln, claude):
    claude.end(kiln, "work")
    lines = kiln.log_text(claude.task("work")).splitlines()
    assert "HOME=/home/agent" in lines and "ANTHROPIC_BASE_URL=http://127.0.0.1:8080" in lines
    assert not [line for line in lines if line.startswith(("KILN_KAFKA", "KILN_CREDENTIALS", "KILN_CLAUDE", "KILN_STATE"))]


@pytest.mark.parametrize("name", ["429", "500", "529", "cut", "early end", "rubbish"])
def test_claude_code_without_a_model_is_model_unavailable(kiln, claude, name):
    error = claude.error(kiln, name)
    assert error["class"] == "model_unavailable" and error["message"]


def test_a_wrong_key_is_not_tried_again(kiln, claude):
    assert claude.error(kiln, "401")["class"] == "model_unavailable"
    assert kiln.build(claude.task("401"))["attempts_used"] == 1


def test_a_request_that_the_model_refuses_is_not_tried_again(kiln, claude):
    assert claude.error(kiln, "400")["class"] == "agent_failed"
    assert kiln.build(claude.task("400"))["attempts_used"] == 1


@pytest.mark.parametrize("name", ["500 once", "cut once"])
def test_claude_code_gets_over_a_trouble_that_passes(kiln, claude, name):
    build = claude.end(kiln, name)
    assert build["status"] == "completed" and build["result"]["output"] == "Now it works."


def test_tools_that_claude_code_may_not_use_are_told(kiln, claude):
    build = claude.end(kiln, "denied")
    assert build["status"] == "completed" and build["result"]["output"] == "I may not."
    assert build["result"]["agent"]["permission_denials"] == ["Write", "WebFetch"]
    assert "[denied] " in kiln.log_text(claude.task("denied"))


@pytest.mark.parametrize("name, error_class", [("loop", "turn_limit"), ("dear", "budget_exceeded"), ("long-winded", "budget_exceeded")])
def test_claude_code_that_does_not_come_to_an_end_is_ended_by_its_limits(kiln, claude, name, error_class):
    assert claude.error(kiln, name)["class"] == error_class


def test_bytes_that_are_no_text_do_not_hide_the_result(kiln, claude):
    build = claude.end(kiln, "odd bytes")
    assert build["status"] == "completed" and build["result"]["output"] == "n\ufffdl \U0001f9f1"
    assert "a\ufffdb" in kiln.log_text(claude.task("odd bytes"))


def test_a_model_that_stalls_ends_with_the_builds_time(kiln, claude):
    assert claude.error(kiln, "stall")["class"] == "agent_timeout"


def test_a_stalled_claude_code_is_cancelled(kiln, lab):
    project, _ = kiln.seeded()
    task, prompt = lab.post(kiln, project, "claude-code", Stall())
    wait_for(lambda: lab.model.asked(prompt), "the model to be asked", DEADLINE)
    kiln.cancel(task)
    assert kiln.wait_end(task, DEADLINE)["status"] == "cancelled"


def test_a_build_whose_model_was_away_is_tried_again(kiln, lab):
    project, _ = kiln.seeded()
    task, prompt = lab.post(kiln, project, "claude-code", Fail(529, times=2), Say("At last."), max_attempts=2)
    build = kiln.wait_end(task, DEADLINE)
    assert build["status"] == "completed" and build["attempts_used"] == 2 and build["result"]["output"] == "At last."
    assert len(lab.model.asked(prompt)) == 3


# -- OpenCode


def test_opencode_writes_edits_runs_and_is_committed(kiln, opencode):
    task = opencode.task("work")
    build = opencode.end(kiln, "work")
    assert build["status"] == "completed", build["result"]
    assert build["result"]["output"] == "Both files say hello."
    is_committed(opencode.repository, task)
    log = kiln.log_text(task)
    assert "I begin." in log and "[write] " in log and "[bash] " in log and "listed" in log


def test_opencode_says_who_it_is_and_what_it_took(kiln, lab, opencode):
    agent = opencode.end(kiln, "work")["result"]["agent"]
    assert agent["provider"] == "opencode" and agent["version"][0].isdigit() and agent["session_id"]
    assert agent["model"] == "scripted" and agent["turns"] == 4
    assert agent["tokens"] == {"input": 4000, "output": 200, "cached": 800}
    assert agent["cost_usd"] is None
    assert {request["path"] for request in lab.model.asked(opencode.prompt("work"))} == {"/v1/chat/completions"}


def test_opencodes_key_is_masked(kiln, lab, opencode):
    task, prompt = opencode.posted["work"]
    opencode.end(kiln, "work")
    assert {request["headers"].get("authorization") for request in lab.model.asked(prompt)} == {f"Bearer {lab.key}"}
    log = kiln.log_text(task)
    assert "OPENCODE_CONFIG_CONTENT=" in log and "[masked]" in log and lab.key not in log


def test_opencode_without_a_key_that_the_model_takes_is_model_unavailable(kiln, opencode):
    assert opencode.error(kiln, "401")["class"] == "model_unavailable"


def test_opencode_may_not_write_outside_of_the_workspace(kiln, opencode):
    build = opencode.end(kiln, "denied")
    assert build["status"] == "completed" and build["result"]["output"] == "I may not."
    assert build["result"]["agent"]["permission_denials"] == ["write"]


def test_opencode_that_does_not_come_to_an_end_is_ended_by_the_turn_limit(kiln, opencode):
    assert opencode.error(kiln, "loop")["class"] == "turn_limit"


def test_a_budget_is_not_taken_with_a_model_that_has_no_price(kiln, lab):
    project, _ = kiln.seeded()
    task, prompt = lab.post(kiln, project, "opencode", Say("no"), agent={"budget_usd": 1})
    assert kiln.error_class(task, DEADLINE) == "model_unpriced"
    assert lab.model.asked(prompt) == []


# -- going on


def test_claude_code_goes_on_with_its_session_and_opencode_is_told_of_it(kiln, lab):
    project, _ = kiln.seeded()
    first, prompt = lab.post(kiln, project, "claude-code", Say("This was first."), Say("This was second."))
    build = kiln.wait_end(first, DEADLINE)
    assert build["result"]["output"] == "This was first.", build["result"]
    follow_up = {"prompt": "And then?", "labels": [lab.label], "max_attempts": 1, "continue_from": first}
    resumed, told = [kiln.post(project, {**follow_up, "agent": {"provider": provider}}) for provider in ("claude-code", "opencode")]
    build = kiln.wait_end(resumed, DEADLINE)
    assert build["status"] == "completed" and build["result"]["output"] == "This was second.", build["result"]
    assert kiln.continued(resumed) == ["resumed"]
    said = [str(request["request"]["messages"]) for request in lab.model.asked(prompt) if request["path"].startswith("/v1/messages")][-1]
    assert said.index(prompt) < said.index("This was first.") < said.index("And then?") and "answered earlier" not in said
    assert kiln.wait_end(told, DEADLINE)["status"] == "completed" and kiln.continued(told) == ["context"]
    said = [str(request["request"]["messages"]) for request in lab.model.asked(prompt) if request["path"].startswith("/v1/chat/completions")][-1]
    assert said.index(prompt) < said.index("This was first.") < said.index("And then?") and "answered earlier" in said


# -- what workers say


def hello(kiln, executor):
    return wait_for(
        lambda: next((r for r in kiln.tap.records if r.type == "worker.hello" and r.data["worker_id"] == executor.worker_id), None), "the hello"
    ).data


def test_workers_announce_agents_with_their_versions(kiln, lab):
    data = hello(kiln, lab.executor)
    assert data["agents"] == ["command", "claude-code", "opencode"]
    assert set(data["agent_versions"]) == set(data["agents"]) and data["agent_versions"]["command"] is None
    assert all(data["agent_versions"][name][0].isdigit() for name in ("claude-code", "opencode"))


def test_a_program_that_does_not_answer_is_not_offered(kiln, lab):
    with kiln.system.executor(1, ("nobody",), **lab.variables(KILN_CLAUDE_CODE_PROGRAM="/bin/false", KILN_OPENCODE_PROGRAM="/nowhere")) as executor:
        assert hello(kiln, executor)["agents"] == ["command"]
