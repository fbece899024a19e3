"""The only place that waits: for a condition, with a deadline."""

import time


class TooLate(AssertionError):
    """The condition did not come true in time."""


def wait_for(condition, what, deadline=120.0, poll=0.02):
    """The first true value of condition(); TooLate with the last one after `deadline` seconds.

    AssertionErrors of the condition count as "not yet" and are shown when it is too late.
    """
    end = time.monotonic() + deadline
    last = None
    while True:
        try:
            last = condition()
            if last:
                return last
        except AssertionError as error:
            last = error
        if time.monotonic() >= end:
            raise TooLate(f"after {deadline:g} s still waiting for {what}; last seen: {last!r}")
        time.sleep(poll)


def stays(condition, what, seconds, poll=0.02):
    """Condition holds all the time: for claims that something does not happen."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        assert condition(), f"{what} did not last {seconds:g} s"
        time.sleep(poll)
