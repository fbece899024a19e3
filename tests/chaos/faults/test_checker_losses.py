"""The checker's C12 bites: builds end as lost too often by just so many counted losses, and by nothing else that nobody knows of."""

import pytest
from evidence import Entry, Row
from forging import GONE, check_of, forged, found, remove, run  # noqa: F401  pylint: disable=unused-import


def another(run, *losses, end="worker_lost"):
    """A build that was lost so, one after the other, and ends by the last one."""
    run.forge.requested("build-another", 50)
    for number, lose in enumerate(losses, 1):
        lose(run.forge, number, 50 + 2 * number)
    run.forge.failed("build-another", len(losses), 70, end)


def alone(forge, number, begin):
    forge.lost("build-another", number, "w1", begin)


def in_company(forge, number, begin):
    """With an attempt of another build that the same worker held."""
    forge.lost("build-another", number, "w1", begin)
    forge.assigned("build-company", number, "w1", begin, begin + 1, "lost", "worker_restarted")


def by_its_own_word(forge, number, begin):
    forge.gave_up("build-another", number, "w1", begin)
    forge.event("build-another", begin + 1, "build.attempt_lost", "pending", "queued", number, reason="not_held", error={"class": "worker_lost"})


def by_its_last_word(forge, number, begin):
    """Which is its build's end, and no loss in the trail."""
    forge.gave_up("build-another", number, "w1", begin)


def not_accepted(forge, number, begin):
    forge.assigned("build-another", number, "w1", begin, begin + 1, "lost", "accept_timeout")
    forge.evidence.attempts[-1].accepted = None
    forge.event("build-another", begin + 1, "build.attempt_lost", "pending", "queued", number, reason="accept_timeout")


def failed_by_itself(forge, number, begin):
    forge.assigned("build-another", number, "w1", begin, begin + 1, "finished", "failed")
    forge.ran("build-another", number, "w1", begin + 0.2, begin + 0.9)
    forge.event("build-another", begin + 1, "build.attempt_lost", "pending", "queued", number, reason="failed", error={"class": "git_unreachable"})


def while_settling(forge, number, begin):
    forge.assigned("build-another", number, "w1", begin, begin + 1, "lost", "worker_restarted", mode="settle")
    forge.event("build-another", begin, "build.started", "running", "preparing", number, mode="settle")
    forge.event("build-another", begin + 1, "build.attempt_lost", "pending", "queued", number, reason="worker_restarted")


def forge_c12_lost_too_often_before_the_limit(run):
    run.max_losses = 3


def forge_c12_an_attempt_after_the_limit(run):
    run.max_losses = 1


def forge_c12_a_loss_of_what_no_worker_had_accepted_counts(run):
    another(run, alone, not_accepted)


def forge_c12_a_failure_of_its_own_counts(run):
    another(run, failed_by_itself, alone)


def forge_c12_a_loss_of_a_settling_attempt_counts(run):
    another(run, alone, while_settling)


def forge_c12_losses_in_company_count(run):
    another(run, in_company, in_company, alone)


def forge_c12_a_third_loss_in_company_does_not_count(run):
    another(run, in_company, in_company, in_company, in_company, alone)


def forge_c12_a_loss_that_its_worker_has_never_told(run):
    another(run, alone, by_its_own_word)
    remove(run, "attempt.finished")


def forge_c12_an_end_that_its_worker_has_never_told(run):
    another(run, alone, by_its_last_word)
    remove(run, "attempt.finished")


def forge_c12_a_worker_that_has_told_of_another_failure(run):
    another(run, alone, by_its_last_word)
    next(message for message in run.messages if message.type == "attempt.finished").data["result"]["error"]["class"] = "internal"


def forge_c12_another_failure_after_as_many_losses(run):
    another(run, alone, alone, end="git_unreachable")


def forge_c12_another_failure_of_whose_agent_nobody_has_heard(run):
    another(run, failed_by_itself, end="agent_failed")


def forge_c12_another_failure_of_one_whose_agent_has_found_another_one_alive(run):
    another(run, failed_by_itself, end="git_unreachable")
    run.doubles.append(Entry(0, "", "double", "build-another", 1))


def forge_c12_another_failure_by_its_row_alone(run):
    run.rows[GONE].error = "internal"


def forge_c12_completed_after_the_limit(run):
    run.trail[GONE][-1].type = "build.completed"
    run.rows[GONE] = Row("completed", None, None)


def forge_c12_cancelled_and_nobody_wished_it(run):
    run.trail[GONE][-1].type = "build.cancelled"
    run.rows[GONE] = Row("cancelled", None, "cancelled")


FORGED = forged(globals())


@pytest.mark.parametrize("name", FORGED)
def test_the_check_that_is_for_it_finds(run, name):  # noqa: F811
    FORGED[name](run)
    assert check_of(name) in found(run)


@pytest.mark.parametrize(
    "losses",
    [
        (alone, alone),
        (in_company, in_company, alone, alone),
        (in_company, in_company, in_company, alone),
        (by_its_own_word, alone),
        (alone, by_its_last_word),
        (alone, not_accepted, failed_by_itself, alone),
    ],
    ids=lambda losses: "-".join(lose.__name__ for lose in losses),
)
def test_as_many_losses_as_the_limit_says_end_a_build(run, losses):  # noqa: F811
    another(run, *losses)
    assert "C12" not in found(run)


def test_a_settling_that_follows_the_last_word_of_a_worker_may_be_lost(run):  # noqa: F811
    another(run, alone, by_its_last_word, while_settling)
    assert "C12" not in found(run)


def test_a_commit_that_settling_finds_after_the_limit_completes_a_build(run):  # noqa: F811
    run.trail[GONE].pop()
    run.forge.assigned(GONE, 3, "w1", 46, 47, mode="settle")
    run.forge.event(GONE, 47, "build.completed", "completed", None, 3)
    run.rows[GONE] = Row("completed", None, None)
    assert "C12" not in found(run)


def test_a_wish_ends_a_build_after_any_number_of_losses(run):  # noqa: F811
    forge_c12_cancelled_and_nobody_wished_it(run)
    run.forge.message("kiln.build.requests", GONE, "build.cancel_requested", {"build_id": GONE})
    assert "C12" not in found(run)


def test_an_agent_that_has_found_another_one_alive_may_fail_its_build(run):  # noqa: F811
    another(run, failed_by_itself, end="agent_failed")
    run.doubles.append(Entry(0, "", "double", "build-another", 1))
    assert "C12" not in found(run)
