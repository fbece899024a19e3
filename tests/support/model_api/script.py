"""What a scripted model does: a list of steps, one for each of its turns.

A script is chosen by `[script NAME]` in the prompt, the step by how often the model has spoken in the conversation that
a request brings along. So the same request gets the same answer, however often the client repeats it.
"""

import dataclasses
import re

MARK = re.compile(r"\[script ([a-z0-9-]+)\]")
# What every answer says that it took; tests count with it.
INPUT_TOKENS, CACHED_TOKENS, OUTPUT_TOKENS = 1000, 200, 50


# -- what an answer is made of


@dataclasses.dataclass(frozen=True)
class Say:
    text: str


@dataclasses.dataclass(frozen=True)
class Tool:
    """A tool call in general terms: `write`, `edit`, `read`, `run`, `fetch`; the client's own names come later."""

    kind: str
    arguments: dict


def write(path, text):
    return Tool("write", {"path": path, "text": text})


def edit(path, old, new):
    return Tool("edit", {"path": path, "old": old, "new": new})


def read(path):
    return Tool("read", {"path": path})


def run(command):
    return Tool("run", {"command": command})


def fetch(url):
    return Tool("fetch", {"url": url})


# -- what goes wrong instead of an answer


@dataclasses.dataclass(frozen=True)
class Fail:
    """An HTTP error; after `times` of them (None: for ever) the next step answers."""

    status: int
    times: int | None = None


@dataclasses.dataclass(frozen=True)
class Stall:
    """The answer begins and never goes on, until the client leaves or the server ends."""


@dataclasses.dataclass(frozen=True)
class Cut:
    """The answer begins, then the connection is gone; `times` as in Fail."""

    times: int | None = None


@dataclasses.dataclass(frozen=True)
class Finish:
    """The stream ends in good order, but nobody has said that the answer is complete."""


@dataclasses.dataclass(frozen=True)
class Rubbish:
    """A stream of what is no event."""


@dataclasses.dataclass(frozen=True)
class Reflect:
    """An error that quotes the request's headers, in its own headers and its text."""


@dataclasses.dataclass(frozen=True)
class Redirect:
    """Somewhere else."""

    location: str


@dataclasses.dataclass(frozen=True)
class Again:
    """The steps before it once more, without end."""


class Script:
    def __init__(self, *steps):
        self.steps = [step if isinstance(step, (list, tuple)) else [step] for step in steps]
        self.troubles = {}  # step: how often it has failed

    def step(self, turn):
        """The step of the model's turn (from 0). Troubles are no turns: nobody has spoken."""
        number = 0
        while True:
            step = self._at(number)
            times = getattr(step[0], "times", None)
            if times is None:
                if turn == 0:
                    return step
                turn -= 1
            elif turn == 0 and self.troubles.get(number, 0) < times:
                self.troubles[number] = self.troubles.get(number, 0) + 1
                return step
            number += 1

    def _at(self, number):
        if self.steps and isinstance(self.steps[-1][0], Again):
            return self.steps[number % (len(self.steps) - 1)]
        return self.steps[number] if number < len(self.steps) else [Say("There is nothing left to do.")]


# What ./dev demo shows. The prompt is that of deploy/dev/demo.py.
DEMO = Script(
    [Say("I'll write the page and the program."), write("HELLO.md", "# Made by Kiln\n\nA page that says hello.\n")],
    write("src/hello.sh", '#!/bin/sh\necho "Hello from an agent"\n'),
    edit("src/hello.sh", "from an agent", "from an agent."),
    run("chmod +x src/hello.sh && sh src/hello.sh"),
    Say("HELLO.md says hello, and so does src/hello.sh; I ran it."),
)
