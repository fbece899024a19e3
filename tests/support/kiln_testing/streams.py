"""A reader of Server-Sent Events, by the rules of the HTML standard, that believes nothing either."""

import contextlib
import dataclasses
import json
import socket
import threading

import httpx

from . import contract
from .client import BrokenContract, is_undecided, slug
from .waiting import wait_for


@dataclasses.dataclass
class Event:
    id: str
    type: str
    data: str

    @property
    def json(self):
        return json.loads(self.data)


def lines(events):
    """The log lines that these events are, or the gaps in their places, which number themselves."""
    assert all(event.type == ("gap" if "gap" in event.json else "build.log") and event.id == str(event.json["sequence"]) for event in events)
    return [event.json for event in events]


class Parser:
    """Lines to events; keeps the last id, the hint when to come again, and counts comments.

    An id counts from the blank line on that ends its event: of one that was cut off before, nothing has been had.
    """

    def __init__(self):
        self.last_id = self.next_id = None
        self.retries = []  # each hint
        self.comments = 0
        self.type, self.data = "", []

    def feed(self, line):
        """The event that this line completes, or None."""
        if line == "":
            self.last_id = self.next_id
            event = Event(self.last_id, self.type or "message", "\n".join(self.data)) if self.data else None
            self.type, self.data = "", []
            return event
        if line.startswith(":"):
            self.comments += 1
            return None
        name, _, value = line.partition(":")
        value = value.removeprefix(" ")
        if name == "event":
            self.type = value
        elif name == "data":
            self.data.append(value)
        elif name == "id":
            self.next_id = value
        elif name == "retry":
            self.retries.append(int(value))
        else:
            raise AssertionError(f"no field of an event stream: {line!r}")
        return None


class EventStream:
    """One open stream, read by a thread of its own. Use as a context manager.

    It comes again when the gateway could not decide in its time (client.py), as on a busy machine.
    """

    def __init__(self, client, path, last_id=None, accept="text/event-stream", **params):
        self.path = path
        headers = {"Accept": accept, "Authorization": f"Bearer {client.token}"}
        if last_id is not None:
            headers["Last-Event-ID"] = str(last_id)
        self.http = httpx.Client(base_url=client.url, timeout=60, trust_env=False)
        self.parser = Parser()
        self.events = []
        self.ended = False
        self.failure = None
        self.answer = wait_for(lambda: self._open(headers, params), f"a decision about {path}", poll=0.5)
        self.status = self.answer.status_code
        self.thread = threading.Thread(target=self._run, name="event-stream", daemon=True)
        self.thread.start()

    def _open(self, headers, params):
        answer = self.http.send(self.http.build_request("GET", self.path, headers=headers, params=params), stream=True)
        body = answer.read() if answer.status_code != 200 else b""
        path = answer.request.url.raw_path.decode().partition("?")[0]
        wrong = list(contract.find("GET", path).judge_answer(answer.status_code, answer.headers, body))
        if wrong:
            raise BrokenContract(f"GET {self.path}: " + "\n".join(wrong))
        undecided = answer.status_code == 503 and is_undecided(503, slug(answer))
        return None if undecided else answer

    def _run(self):
        try:
            if self.status == 200:
                for line in self._lines():
                    event = self.parser.feed(line)
                    if event is not None:
                        self.events.append(event)
        except (httpx.HTTPError, httpx.StreamError) as error:
            self.failure = error
        except Exception as error:  # shown by the next wait
            self.failure = error
            raise
        finally:
            self.ended = True

    def _lines(self):
        """By line feeds only, which is how the gateway ends lines; what is behind the last one does not count."""
        rest = b""
        for chunk in self.answer.iter_bytes():
            *whole, rest = (rest + chunk).split(b"\n")
            yield from (line.decode() for line in whole)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def close(self):
        stream = self.answer.extensions.get("network_stream")
        if stream is not None:
            with contextlib.suppress(OSError):  # it may have ended
                stream.get_extra_info("socket").shutdown(socket.SHUT_RDWR)
        self.thread.join(10)
        self.answer.close()
        self.http.close()

    @property
    def last_id(self):
        return self.parser.last_id

    def wait(self, count, deadline=120.0):
        """The first `count` events."""
        return wait_for(lambda: self.events[:count] if len(self.events) >= count else None, f"{count} events of {self.path}", deadline)

    def wait_type(self, type, deadline=120.0):
        return wait_for(lambda: next((e for e in self.events if e.type == type), None), f"{type} on {self.path}", deadline)

    def wait_end(self, deadline=120.0):
        """All events of a stream that ends."""
        wait_for(lambda: self.ended, f"{self.path} to end", deadline)
        return self.events
