"""Bots under load: they post until they are told 202, cancel some builds, and read what they were promised."""

import dataclasses
import random
import threading
import time
import uuid

import httpx

from kiln_testing.agents import spec
from kiln_testing.client import BrokenContract, Client

# Fate unknown, or nothing done. With a key the same POST makes it one build; without one it is another build.
AGAIN = (429, 500, 502, 503, 504)
KEYED = 0.5
LONE_AT_ONCE = 2  # a build of those that are to be lost waits while the other one runs
PATIENCE_S = 110


@dataclasses.dataclass
class Posted:
    """A build that was answered with 202."""

    task: str
    project: str
    branch: str
    pushes: bool
    inbox: str
    cancelled: bool = False


@dataclasses.dataclass
class Seen:
    """What a GET of a build was answered; times of one monotonic clock."""

    task: str
    began: float
    ended: float
    code: int
    status: str | None = None
    phase: str | None = None
    attempt: int | None = None


class Witness:
    """Makes what an agent proves that it is alone by: a file of its build's own, which it locks."""

    def __init__(self, folder):
        self.folder = folder

    def new(self):
        name = uuid.uuid4().hex
        (self.folder / name).touch(mode=0o644)
        return name


class Bots:
    """Threads of their own until `stop`; `wrong` collects sentences. They hold back while many builds are under way: how fast the machine is decides."""

    POSTERS = 3
    READERS = 2

    def __init__(self, gateways, token, seed, projects, command, lone, rate, at_most, receiver, witness, has_ended):
        self.gateways = gateways  # URLs
        self.token = token
        self.projects = projects
        self.command = command
        self.lone = lone  # fields of builds that are to be lost too often
        self.pause = self.POSTERS / rate
        self.at_most = at_most
        self.receiver = receiver
        self.witness = witness
        self.has_ended = has_ended  # of a task: its end was told on Kafka
        self.seed = seed
        self.posted = {}  # task_id -> Posted
        self.refused = {}  # the prompt of a POST without a key that was told that nothing was done -> what it was told
        self.open = set()
        self.seen = []
        self.answers = {}  # status or error -> count
        self.wrong = []
        self.lock = threading.Lock()
        self.ending = threading.Event()
        works = [(self._post, n) for n in range(self.POSTERS)] + [(self._read, n) for n in range(self.READERS)]
        works.append((self._post_lone, 0))
        self.threads = [threading.Thread(target=self._guarded, args=work, daemon=True) for work in works]

    def start(self):
        for thread in self.threads:
            thread.start()

    def stop(self):
        """Every POST that was begun has its 202 before this returns."""
        self.ending.set()
        for thread in self.threads:
            thread.join(120)
        if any(thread.is_alive() for thread in self.threads):
            self.say_wrong("a bot does not come to its end within 120 s")

    def say_wrong(self, text):
        with self.lock:
            self.wrong.append(text)

    def _guarded(self, work, number):
        clients = [Client(url, self.token, timeout=10) for url in self.gateways]
        try:
            work(random.Random(f"{self.seed} {work.__name__} {number}"), clients)
        except Exception as error:  # pylint: disable=broad-exception-caught  # a thread's death must be seen
            self.say_wrong(f"{work.__name__}: {error!r}")
        finally:
            for client in clients:
                client.close()

    def _count(self, what):
        with self.lock:
            self.answers[what] = self.answers.get(what, 0) + 1

    def _ask(self, client, method, path, body=None, **kwargs):
        """The answer, or None when there was none."""
        try:
            answer = client.request(method, path, body=body, **kwargs)
        except httpx.TransportError as error:
            self._count(type(error).__name__)
            return None
        except BrokenContract as error:
            self.say_wrong(str(error))
            return None
        self._count(answer.status_code)
        return answer

    def _spec(self, chance, project, inbox):
        """About half are pushed, to branches of their own or to the one that all want; some want the second executor."""
        pushes = chance.random() < 0.45
        branch = "main" if chance.random() < 0.25 else f"b-{uuid.uuid4().hex[:8]}"
        body = spec(
            self.command,
            prompt=self.witness.new(),
            branch=branch,
            auto_commit=pushes,
            auto_push=pushes,
            priority=chance.randrange(10),
            labels=["second"] if chance.random() < 0.1 else [],
            queue_timeout_s=3600,
            timeout_s=120,
            max_attempts=10,
            callback_url=inbox.url,
        )
        return Posted("", project["name"], branch, pushes, inbox.path), body

    def post_one(self, chance, clients, projects, **fields):
        """A build that is accepted sooner or later, by whichever gateway; None when it was refused."""
        project = chance.choice(projects)
        posted, body = self._spec(chance, project, self.receiver.inbox())
        headers = {"Idempotency-Key": str(uuid.uuid4())} if chance.random() < KEYED else {}
        end = time.monotonic() + PATIENCE_S
        while True:
            answer = self._ask(chance.choice(clients), "POST", f"/projects/{project['id']}/builds", body | fields, headers=headers)
            if answer is not None and answer.status_code == 202:
                break
            if answer is not None and answer.status_code not in AGAIN:
                self.say_wrong(f"a POST was answered {answer.status_code}: {answer.text[:300]}")
                return None
            if time.monotonic() > end:
                self.say_wrong(f"no gateway has accepted a POST within {PATIENCE_S} s; the last answer: {answer and answer.text[:300]}")
                return None
            if not headers:  # whatever became of it, the next one is another build
                if answer is not None and answer.json().get("outcome") != "unknown":
                    self.refused[body["prompt"]] = f"{answer.status_code} {answer.json().get('type')}"
                posted.inbox = (inbox := self.receiver.inbox()).path
                body |= {"prompt": self.witness.new(), "callback_url": inbox.url}
            time.sleep(0.2)
        posted.task = answer.json()["task_id"]
        with self.lock:
            self.posted[posted.task] = posted
            self.open.add(posted.task)
        return posted

    def _has_room(self):
        with self.lock:
            self.open = {task for task in self.open if not self.has_ended(task)}
            return len(self.open) < self.at_most

    def _post(self, chance, clients):
        due = time.monotonic()
        while not self.ending.is_set():
            if self._has_room():
                posted = self.post_one(chance, clients, self.projects)
                if posted is not None and chance.random() < 0.06:
                    time.sleep(chance.choice((0, 0.3, 1)))
                    answer = self._ask(chance.choice(clients), "POST", f"/builds/{posted.task}/cancel")
                    posted.cancelled = answer is not None and answer.status_code == 202
            due = max(due + self.pause, time.monotonic() - 1)
            self.ending.wait(max(0.02, due - time.monotonic()))

    def _post_lone(self, chance, clients):
        mine = set()
        while not self.ending.is_set():
            mine = {task for task in mine if not self.has_ended(task)}
            if len(mine) < LONE_AT_ONCE and (posted := self.post_one(chance, clients, self.projects[1:], **self.lone)) is not None:
                mine.add(posted.task)
            self.ending.wait(0.1)

    def _read(self, chance, clients):
        while not self.ending.is_set():
            with self.lock:
                tasks = list(self.posted)[-60:]
            if tasks:
                self.look(chance.choice(tasks), chance.choice(clients))
            self.ending.wait(0.08)

    def look(self, task, client):
        began = time.monotonic()
        answer = self._ask(client, "GET", f"/builds/{task}")
        ended = time.monotonic()
        if answer is not None and answer.status_code in (200, 404):
            build = answer.json() if answer.status_code == 200 else {}
            self.seen.append(Seen(task, began, ended, answer.status_code, build.get("status"), build.get("phase"), build.get("attempt")))
