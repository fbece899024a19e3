"""A merge that takes for ever holds neither the worker nor a cancel: libgit2 itself has no deadline for one."""
import random

import pytest

from executing import waiting
from kiln_testing.waiting import wait_for

# Of one digit each, by chance: how two such files fit best is looked for until a processor has worked for half a minute. And
# more than 4 MiB, up to which the lines of a changed file are counted, when it is committed.
LINES = 2_200_000


@pytest.fixture
def overtaken(agents, site, place):
    """Begins an attempt that has changed all of a file which somebody else has changed, too. Returns it and the branch's tip."""

    def begin(executor):
        dice = random.Random(1)
        repository = site.repository(digits="\n".join(dice.choices("0123456789", k=LINES)))
        attempt = executor.attempt(repository, agents.write(waiting(place, f"shuf -r -n {LINES} -i 0-9 >digits"))).assign()
        attempt.phase("agent")
        other = repository.seed({"digits": "\n".join(dice.choices("0123456789", k=LINES))})
        (place / "go").touch()
        return attempt, repository, other

    return begin


def test_its_deadline_ends_the_build_as_a_conflict(own_executor, overtaken):
    executor = own_executor(KILN_PUBLISH_TIMEOUT_MS="5000")
    attempt, repository, other = overtaken(executor)
    finished = attempt.finished()
    error = finished["result"]["error"]
    assert error["class"] == "git_conflict" and "could not be put onto it in time" in error["message"], finished
    assert not finished["retryable"] and finished["closed"] and repository.tip() == other
    assert not attempt.aside() and not attempt.processes()


def test_a_cancel_ends_it(own_executor, overtaken):
    executor = own_executor(KILN_PUBLISH_TIMEOUT_MS="600000")
    attempt, repository, other = overtaken(executor)
    wait_for(attempt.aside, "the merge to be under way")
    attempt.cancel()
    finished = attempt.finished(deadline=30)
    assert finished["outcome"] == "cancelled" and finished["closed"] and repository.tip() == other, finished
    assert not attempt.aside()


def test_its_work_is_not_kept_as_a_patch_that_takes_as_long(own_executor, overtaken, place):
    executor = own_executor(KILN_PUBLISH_TIMEOUT_MS="5000", KILN_ARTIFACTS_DIR=str(place), KILN_ARTIFACTS_TIMEOUT_MS="1000")
    attempt, _, _ = overtaken(executor)
    finished = attempt.finished()
    assert finished["result"]["error"]["class"] == "git_conflict", finished
    assert [(left["path"], left["reason"]) for left in finished["result"]["artifacts_left_out"]] == [("kiln/work.patch", "timeout")]
    assert not attempt.aside()
