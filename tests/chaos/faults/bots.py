"""Bots under load: they post until they are told 202, cancel some builds, and read what they were promised."""

import random
import threading
import time
import uuid

import httpx

from kiln_testing.agents import spec
from kiln_testing.client import BrokenContract, Client

ENDED = ("completed", "failed", "cancelled")  # a lost attempt takes a build from running to pending: only an end is for ever
# Fate unknown, or nothing done: the same key makes it one build.
AGAIN = (429, 500, 502, 503, 504)


class Bots:
    """Threads of their own until `stop`; `wrong` collects sentences."""

    def __init__(self, system, seed, projects, command, rate, receiver):
        self.system = system
        self.projects = projects
        self.command = command
        self.pause = 1 / rate
        self.random = random.Random(seed)
        self.receiver = receiver
        self.posted = {}  # task_id -> its branch, of every 202
        self.inboxes = {}  # task_id -> where its end is told
        self.cancelled = set()
        self.shown = {}  # task_id -> the end that some gateway has shown
        self.answers = {}  # status or error -> count
        self.wrong = []
        self.lock = threading.Lock()
        self.gateways = [system.url]
        self.ending = threading.Event()
        self.threads = [threading.Thread(target=self._guarded, args=(work,), daemon=True) for work in [self._post] * 4 + [self._read] * 2]

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

    def _guarded(self, work):
        try:
            work()
        except Exception as error:  # a thread's death must be seen
            self.say_wrong(f"{work.__name__}: {error!r}")

    def _client(self):
        return Client(self.random.choice(self.gateways), self.system.env["KILN_TOKEN"], timeout=10)

    def _count(self, what):
        with self.lock:
            self.answers[what] = self.answers.get(what, 0) + 1

    def _ask(self, method, path, body=None, **kwargs):
        """The answer, or None when there was none."""
        client = self._client()
        try:
            answer = client.request(method, path, body=body, **kwargs)
        except httpx.TransportError as error:
            self._count(type(error).__name__)
            return None
        except BrokenContract as error:
            self.say_wrong(str(error))
            return None
        finally:
            client.close()
        self._count(answer.status_code)
        return answer

    def _post(self):
        due = time.monotonic()
        while not self.ending.is_set():
            project = self.random.choice(self.projects)
            inbox = self.receiver.inbox()
            branch = self.random.choice(("main", f"b-{uuid.uuid4().hex[:8]}"))
            body = spec(self.command, branch=branch, auto_commit=True, auto_push=True, queue_timeout_s=600, timeout_s=60, max_attempts=5, callback_url=inbox.url)
            headers = {"Idempotency-Key": str(uuid.uuid4())}
            task = None
            while task is None:
                answer = self._ask("POST", f"/projects/{project['id']}/builds", body, headers=headers)
                if answer is not None and answer.status_code == 202:
                    task = answer.json()["task_id"]
                elif answer is not None and answer.status_code not in AGAIN:
                    self.say_wrong(f"a POST was answered {answer.status_code}: {answer.text[:300]}")
                    break
                else:
                    time.sleep(0.2)
            if task is not None:
                with self.lock:
                    self.posted[task] = branch
                    self.inboxes[task] = inbox.path
                if self.random.random() < 0.04:
                    answer = self._ask("POST", f"/builds/{task}/cancel")
                    if answer is not None and answer.status_code == 202:
                        self.cancelled.add(task)
            due += self.pause * 4
            time.sleep(max(0, due - time.monotonic()))

    def _read(self):
        """No 404 after a 202, and an end that is shown stays."""
        while not self.ending.is_set():
            with self.lock:
                tasks = list(self.posted)
            if tasks:
                task = self.random.choice(tasks[-200:])
                before = self.shown.get(task)
                answer = self._ask("GET", f"/builds/{task}")
                if answer is not None and answer.status_code == 404:
                    self.say_wrong(f"{task} was accepted, and GET says 404")
                elif answer is not None and answer.status_code == 200:
                    status = answer.json()["status"]
                    if before not in (None, status):
                        self.say_wrong(f"{task} was {before}, and is {status}")
                    if status in ENDED:
                        self.shown[task] = status
            time.sleep(0.02)
