"""Bots at two gateways at once, each of which can be killed and started again: they write down what they are told."""

import dataclasses
import random
import threading
import uuid

import httpx

from .agents import waiting_spec
from .client import Client, is_undecided, slug
from .services import free_port, start_beside
from .waiting import wait_for

POSTERS = 2  # of each kind at each gateway
READERS = 2
PAUSE_S = 0.03  # the machine has others to serve
MORE = 30  # builds that are accepted before the load is said to go on


class Gateway:
    """One more in front of a system, on ports that it keeps."""

    def __init__(self, system):
        self.system = system
        self.variables = {"KILN_LISTEN": f"127.0.0.1:{free_port()}", "KILN_OPS_PORT": str(free_port())}
        self.url = f"http://{self.variables['KILN_LISTEN']}"
        self.service = None
        self.deaths = 0
        self.is_up = False

    def start(self):
        """As it was. Clients come as soon as it listens, and nobody asks whether it is ready."""
        self.service = start_beside(self.system, "gateway", **self.variables)
        self.service.find_ports()
        self.service.wait_ready()
        self.is_up = True

    def kill(self):
        self.is_up = False
        self.deaths += 1
        self.service.process.kill()
        self.service.process.wait(60)

    def end(self):
        if self.service is not None:
            self.service.end()


@dataclasses.dataclass
class Repeated:
    """A POST with a key of which it was not known whether it was accepted, and what was told of its build until it was."""

    key: str
    body: dict
    tasks: set


class Load:
    """Threads of their own until `stop`. Every build has a mark of its own in its metadata."""

    def __init__(self, gateways, token, project):
        self.gateways = gateways
        self.token = token
        self.path = f"/projects/{project['id']}/builds"
        self.accepted = []  # ids, as they are told
        self.count = dict.fromkeys(gateways, 0)  # of those, by whom
        self.repeated = {}  # mark: Repeated
        self.refused = {gateway: [] for gateway in gateways}  # marks of POSTs without a key that were told that nothing was done
        self.missing = []  # accepted, and told to be none: (id, gateway's URL, its deaths by then)
        self.wrong = []  # sentences
        self.ending = threading.Event()
        work = []
        for here, there in (gateways, gateways[::-1]):
            work += [(self._post, here, there, keyed) for keyed in (True, False)] * POSTERS
            work += [(self._read, here)] * READERS
        self.threads = [threading.Thread(target=self._guarded, args=one, daemon=True) for one in work]

    def start(self):
        for thread in self.threads:
            thread.start()

    def stop(self):
        """Each POST with a key has its 202 when this returns."""
        self.ending.set()
        for thread in self.threads:
            thread.join(150)
        assert not any(thread.is_alive() for thread in self.threads), "a bot does not come to its end"

    def goes_on(self, *gateways):
        """Waits until so many more were accepted at each of them."""
        goals = {gateway: self.count[gateway] + MORE for gateway in gateways}

        def reached():
            assert not self.wrong  # shown, if it is why nothing comes
            return all(self.count[gateway] >= goal for gateway, goal in goals.items())

        wait_for(reached, "the load to go on", 60)

    def _guarded(self, work, *gateways):
        try:
            work(*gateways)
        except Exception as error:  # a thread's death must be seen
            self.wrong.append(f"{work.__name__}: {error!r}")

    def _ask(self, client, gateway, *request, **kwargs):
        """The answer, or None when there was none: the gateway must have been killed then."""
        deaths, was_up = gateway.deaths, gateway.is_up
        try:
            return client.request(*request, **kwargs)
        except httpx.TransportError as error:
            if was_up and gateway.deaths == deaths:
                self.wrong.append(f"{gateway.url} was there, and {request[0]} was told {error!r}")
            return None

    def _post(self, here, there, keyed):
        client, other = (Client(gateway.url, self.token) for gateway in (here, there))
        while not self.ending.wait(PAUSE_S):
            mark = uuid.uuid4().hex
            body = waiting_spec(metadata={"mark": mark})
            headers = {"Idempotency-Key": mark} if keyed else {}
            answer = self._ask(client, here, "POST", self.path, body=body, headers=headers)
            if answer is not None and answer.status_code == 202:
                self._accept(here, answer)
            elif keyed:
                self._repeat(other, there, Repeated(mark, body, self._named(answer)))
            elif answer is not None and is_undecided(answer.status_code, slug(answer)):
                self.refused[here].append(mark)
            elif answer is not None and not self._named(answer):
                self.wrong.append(f"a POST was answered {answer.status_code}: {answer.text[:300]}")
        client.close()
        other.close()

    def _accept(self, gateway, answer):
        self.accepted.append(answer.json()["task_id"])
        self.count[gateway] += 1

    @staticmethod
    def _named(answer):
        """The build of an answer that says that its outcome is unknown."""
        unknown = answer is not None and answer.status_code == 503 and answer.json().get("outcome") == "unknown"
        return {answer.json()["task_id"]} if unknown else set()

    def _repeat(self, client, gateway, repeated):
        """At the other gateway, until it is accepted."""

        def accepted():
            answer = self._ask(client, gateway, "POST", self.path, body=repeated.body, headers={"Idempotency-Key": repeated.key})
            repeated.tasks |= self._named(answer)
            return answer if answer is not None and answer.status_code == 202 else None

        self.repeated[repeated.key] = repeated
        answer = wait_for(accepted, "a POST to be accepted", poll=0.1)
        self._accept(gateway, answer)
        repeated.tasks.add(answer.json()["task_id"])

    def _read(self, gateway):
        """What was accepted at either gateway, half of it in that moment."""
        client = Client(gateway.url, self.token)
        while not self.ending.wait(PAUSE_S):
            if not self.accepted:
                continue
            task = self.accepted[-1] if random.random() < 0.5 else random.choice(self.accepted)
            answer = self._ask(client, gateway, "GET", f"/builds/{task}")
            if answer is not None and answer.status_code == 404:
                self.missing.append((task, gateway.url, gateway.deaths))
            elif answer is not None and answer.status_code != 200 and not is_undecided(answer.status_code, slug(answer)):
                self.wrong.append(f"a GET was answered {answer.status_code}: {answer.text[:300]}")
        client.close()
