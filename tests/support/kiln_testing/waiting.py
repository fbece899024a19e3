"""The only place that waits: for a condition, with a deadline."""

import time


class TooLate(AssertionError):
    """The condition did not come true in time."""


def wait_for(condition, what, deadline=120.0, poll=None):
    """The first true value of condition(); TooLate with the last one after `deadline` seconds.

    AssertionErrors of the condition count as "not yet" and are shown when it is too late. Asked every `poll` seconds; without it
    the more seldom the longer it takes: a question may cost a connection or a walk through /proc, and others need the processor.
    """
    begin = time.monotonic()
    end = begin + deadline
    last = None
    while True:
        try:
            last = condition()
            if last:
                return last
        except AssertionError as error:
            last = error
        now = time.monotonic()
        if now >= end:
            raise TooLate(f"after {deadline:g} s still waiting for {what}; last seen: {last!r}")
        time.sleep(min(0.1, max(0.02, (now - begin) / 20)) if poll is None else poll)


def seconds_until(condition, what):
    """How long from now it takes until a question is asked whose answer is true: condition() asks it."""
    begin = time.monotonic()

    def asked():
        now = time.monotonic()
        return (now - begin,) if condition() else None

    return wait_for(asked, what, poll=0.01)[0]


def stays(condition, what, seconds, poll=0.02):
    """Condition holds all the time: for claims that something does not happen."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        assert condition(), f"{what} did not last {seconds:g} s"
        time.sleep(poll)
