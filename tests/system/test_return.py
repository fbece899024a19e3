"""Hundreds of clients while Postgres or Kafka is away and when it is back: they are told to come again at different times, and however they come,
what is back meets at most twice the connections that one gateway has."""

import collections
import concurrent.futures
import contextlib
import functools
import selectors
import threading
import time
import uuid

from kiln_testing import raw
from kiln_testing.agents import waiting_spec
from kiln_testing.client import slug
from kiln_testing.relay import far_gateway
from kiln_testing.waiting import wait_for

CROWD = 300
AT_ONCE = 100
WORKERS = 4
SESSIONS = WORKERS + 4  # of the pool; and of the caches, the keys' look-ups, and the two readers of builds
CONNECTIONS = 20  # of a producer, three tails and the reader of history, two each, and as many that did not last
SSE = "Accept: text/event-stream"


class Readers:
    """Event streams on connections of their own, read by one thread. Use as a context manager."""

    def __init__(self, gateway, token, path, count):
        self.texts = [b""] * count
        self._stop = False
        self._waits = selectors.DefaultSelector()
        self._socks = [raw.connect(gateway.url) for _ in range(count)]
        for number, sock in enumerate(self._socks):
            self._waits.register(sock, selectors.EVENT_READ, number)
            sock.sendall(raw.head(token, "GET", path, SSE))
        self._thread = threading.Thread(target=self._read, name="readers", daemon=True)
        self._thread.start()

    def _read(self):
        while not self._stop:
            for key, _ in self._waits.select(0.1):
                data = b""
                with contextlib.suppress(ConnectionError):
                    data = key.fileobj.recv(65536)
                self.texts[key.data] += data
                if not data:
                    self._waits.unregister(key.fileobj)

    def with_text(self, text):
        return sum(text in one for one in self.texts)

    def hints(self):
        return [line for text in self.texts for line in text.split(b"\n") if line.startswith(b"retry: ")]

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._stop = True
        self._thread.join(10)
        for sock in self._socks:
            sock.close()


def assert_spread(hints, count, least):
    """So many hints, of at least so many kinds, of which none is told to most."""
    told = collections.Counter(hints)
    assert sum(told.values()) == count and len(told) >= least, told
    assert max(told.values()) < count * 2 / least, told


def crowd(connect, ask):
    """What ask(client, number) says to all of them, many at once. Each thread has its own client: httpx closes connections under the hands of others."""
    own = threading.local()
    with contextlib.ExitStack() as clients:

        def ask_by_own(number):
            if not hasattr(own, "client"):
                own.client = clients.enter_context(contextlib.closing(connect()))
            return ask(own.client, number)

        with concurrent.futures.ThreadPoolExecutor(AT_ONCE) as pool:
            return list(pool.map(ask_by_own, range(CROWD)))


def until(ask, status):
    """ask(client, number), again at once, whatever Retry-After says, until it is answered with this status."""
    return lambda *whose: wait_for(lambda: answer if (answer := ask(*whose)).status_code == status else None, f"a {status}", poll=0.01)


def refused(connect, ask, slugs):
    answers = crowd(connect, ask)
    assert {answer.status_code for answer in answers} == {503} and {slug(answer) for answer in answers} <= slugs, answers[:3]
    return [answer.headers["retry-after"] for answer in answers]


def builds(kiln, path):
    """All of a project, once what is on Kafka by now has been applied."""
    kiln.wait_applied("kiln-build-service", "kiln.build.requests")
    return [item["task_id"] for item in kiln.api.pages(path)]


def test_a_crowd_comes_back_to_postgres_spread_and_by_at_most_twice_the_sessions_of_a_gateway(kiln):
    task = kiln.waiting()
    path = f"/builds/{task}/events"
    with far_gateway(kiln.system, KILN_WORKERS=str(WORKERS)) as (gateway, postgres, _):
        connect = functools.partial(kiln.at, gateway)
        with Readers(gateway, kiln.api.token, path, CROWD) as readers:
            wait_for(lambda: readers.with_text(b"build.pending") == CROWD, "all streams' first event")
            assert_spread(readers.hints(), CROWD, 8)
            crowd(connect, lambda client, _: client.get("/projects", expect=200))  # all workers have a session
            postgres.set_mode("refuse", cut=True)
            wait_for(lambda: gateway.metric("kiln_gateway_database_up") == 0, "the absence to be noticed")
            begin, before = time.monotonic(), postgres.asked  # until then, whoever wants something asks
            assert_spread(refused(connect, lambda client, _: client.get("/projects"), {"database-unavailable"}), CROWD, 3)
            assert_spread(refused(connect, lambda client, _: client.get(path, headers={"Accept": "text/event-stream"}), {"database-unavailable"}), CROWD, 3)
            assert postgres.asked - before <= SESSIONS * (time.monotonic() - begin + 1)
            postgres.set_mode("pass")
            crowd(connect, until(lambda client, _: client.get("/projects"), 200))
            with Readers(gateway, kiln.api.token, path, CROWD) as again:
                kiln.cancel(task)
                wait_for(lambda: readers.with_text(b"build.cancelled") == CROWD, "the last event of the streams that stayed")
                # One that came at once may have been refused by a machine that is busy with all the others.
                wait_for(lambda: again.with_text(b"build.cancelled") + again.with_text(b" 503 ") == CROWD, "that of those that came at once")
        assert 0 < postgres.passed <= 2 * SESSIONS  # on a busy machine a statement may be late, and its session made anew


def test_a_crowd_comes_back_to_kafka_spread_and_is_accepted_once_each(kiln):
    project, body = kiln.project(), waiting_spec()
    task = kiln.waiting(project)
    path = f"/projects/{project['id']}/builds"
    keys = [str(uuid.uuid4()) for _ in range(CROWD)]
    with far_gateway(kiln.system) as (gateway, _, kafka):
        connect = functools.partial(kiln.at, gateway)

        def post(client, number):
            return client.post(path, body, headers={"Idempotency-Key": keys[number]})

        with contextlib.closing(connect()) as client:
            client.post(path, body, expect=202)
        before = builds(kiln, path)
        with Readers(gateway, kiln.api.token, f"/builds/{task}/events", CROWD) as readers:
            wait_for(lambda: readers.with_text(b"build.pending") == CROWD, "all streams' first event")
            kafka.set_mode("refuse", cut=True)
            assert_spread(refused(connect, post, {"kafka-unavailable", "outcome-unknown", "undecidable", "overloaded"}), CROWD, 3)
            kafka.set_mode("pass")
            tasks = {answer.json()["task_id"] for answer in crowd(connect, until(post, 202))}
            assert len(tasks) == CROWD and sorted(builds(kiln, path)) == sorted([*before, *tasks])
            kiln.cancel(task)
            wait_for(lambda: readers.with_text(b"build.cancelled") == CROWD, "all streams' last event")
        assert 0 < kafka.passed <= 2 * CONNECTIONS
