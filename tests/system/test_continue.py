"""A build that names an earlier one goes on from where that one ended."""
import uuid

import pytest
from kiln_testing.agents import Gate, spec


def test_a_follow_up_is_told_what_was_asked_and_answered_before_its_own_prompt(kiln):
    project, _ = kiln.seeded()
    first = kiln.run(project, "echo 'the answer: \\u00e4 \U0001f9f1'", prompt="What is it?\nNothing else.")
    kiln.wait_end(first)
    second = kiln.run(project, "cat", prompt="And now?", continue_from=first)
    build = kiln.wait_end(second)
    told = build["result"]["output"]
    assert build["status"] == "completed" and build["spec"]["continue_from"] == first
    assert told.index("What is it?\nNothing else.") < told.index("the answer: \\u00e4 \U0001f9f1") < told.index("And now?") and told.endswith("And now?")
    assert kiln.continued(second) == ["context"] and kiln.continued(first) == [None]


def test_what_a_follow_up_is_told_is_cut(kiln):
    project, _ = kiln.seeded()
    first = kiln.run(project, "seq 20000", prompt="begin" + "\u00e4" * 40000 + "end")
    kiln.wait_end(first)
    told = kiln.wait_end(kiln.run(project, "cat", prompt="now", continue_from=first))["result"]["output"]
    assert "begin\u00e4" in told and "\u00e4end" not in told and "\ufffd" not in told
    assert "\n19999\n20000\n" in told and "\n1\n2\n" not in told and len(told.encode()) < 2 * 32768 + 1000


def test_a_build_that_failed_can_be_continued(kiln):
    project, _ = kiln.seeded()
    first = kiln.run(project, "echo got this far; exit 1", prompt="Try.")
    assert kiln.error_class(first) == "agent_failed"
    assert "got this far" in kiln.wait_end(kiln.run(project, "cat", continue_from=first))["result"]["output"]


def test_a_retry_of_a_follow_up_continues_the_same_build(kiln):
    project, _ = kiln.seeded()
    first = kiln.run(project, "echo the answer")
    kiln.wait_end(first)
    second = kiln.run(project, "cat", continue_from=first)
    kiln.wait_end(second)
    again = kiln.api.post(f"/builds/{second}/retry", expect=202).json()["task_id"]
    assert "the answer" in kiln.wait_end(again)["result"]["output"] and kiln.continued(again) == ["context"]


@pytest.mark.parametrize("whose", ["another project's", "nobody's"])
def test_only_a_build_of_the_same_project_can_be_continued(kiln, whose):
    project, repository = kiln.seeded()
    other = str(uuid.uuid4())
    if whose == "another project's":
        stranger, _ = kiln.seeded()
        other = kiln.run(stranger, "echo secret-of-another", prompt="asked-by-another")
        kiln.wait_end(other)
    before = repository.refs()
    task = kiln.run(project, "cat; touch ran", continue_from=other, auto_commit=True, auto_push=True)
    assert kiln.error_class(task) == "rejected"
    build = kiln.build(task)
    assert "continue_from" in build["result"]["error"]["message"] and build["attempts_used"] == 1
    assert "another" not in kiln.log_text(task) and repository.refs() == before


def test_a_build_that_has_not_ended_cannot_be_continued(kiln):
    project, _ = kiln.seeded()
    gate = Gate(kiln)
    first = kiln.run(project, gate.script)
    try:
        kiln.wait_phase(first, "agent")
        task = kiln.post(project, spec(kiln.agents.write("cat"), continue_from=first))
        assert kiln.error_class(task) == "rejected" and "has not ended" in kiln.build(task)["result"]["error"]["message"]
    finally:
        gate.open()
    kiln.wait_end(first)
