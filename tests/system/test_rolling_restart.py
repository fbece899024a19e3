"""Every process restarted one after the other under load, as an operator does it: two of each, and somebody before the gateways who asks which is ready."""

import itertools
import json
import signal
import threading
import time

import httpx
import pytest
from kiln_testing.agents import spec
from kiln_testing.fleet import Fleet
from kiln_testing.services import free_port, is_ready, migrate
from kiln_testing.waiting import wait_for

LOOK_S = 0.1  # between the balancer's looks; KILN_DRAIN_DELAY_MS is longer
RATE = 6  # builds a second


class Balancer:
    """Gives requests in turn to the gateways that said they were ready when it looked last. It repeats nothing."""

    def __init__(self, gateways, token):
        headers = {"Authorization": f"Bearer {token}"}
        self.gateways = {ops: httpx.Client(base_url=url, headers=headers, timeout=20, trust_env=False) for url, ops in gateways}
        self.ready, self.turn = [*self.gateways], itertools.count()
        self.closing = threading.Event()
        self.thread = threading.Thread(target=self._look, daemon=True)
        self.thread.start()

    def _look(self):
        while not self.closing.wait(LOOK_S):
            self.ready = [ops for ops in self.gateways if is_ready(ops)]

    def request(self, method, path, body=None):
        ready = self.ready
        return self.gateways[ready[next(self.turn) % len(ready)]].request(method, path, json=body)

    def close(self):
        self.closing.set()
        self.thread.join(60)
        for client in self.gateways.values():
            client.close()


class Bots:
    """They post builds and read them, each request once; what went wrong is in `failures`."""

    def __init__(self, balancer, project, body):
        self.balancer, self.project, self.body = balancer, project, body
        self.tasks, self.failures = [], []
        self.closing = threading.Event()
        self.threads = [threading.Thread(target=one, daemon=True) for one in (self._post, self._read)]
        for thread in self.threads:
            thread.start()

    def _ask(self, expected, *request):
        try:
            answer = self.balancer.request(*request)
        except (httpx.HTTPError, ZeroDivisionError) as error:
            self.failures.append((time.time(), request[:2], repr(error)))
            return None
        if answer.status_code != expected:
            self.failures.append((time.time(), request[:2], answer.status_code, answer.text))
            return None
        return answer.json()

    def _post(self):
        while not self.closing.wait(1 / RATE):
            accepted = self._ask(202, "POST", f"/projects/{self.project['id']}/builds", self.body)
            if accepted is not None:
                self.tasks.append(accepted["task_id"])

    def _read(self):
        while not self.closing.wait(0.02):
            for task in self.tasks[-1:]:
                self._ask(200, "GET", f"/builds/{task}")

    def close(self):
        self.closing.set()
        for thread in self.threads:
            thread.join(60)


@pytest.fixture(name="fleet")
def fixture_fleet(own_kiln):
    """Two of each service, the second ones with names and places of their own."""
    fleet = Fleet(own_kiln.system)
    try:
        fleet.adopt_all()
        run = own_kiln.system.folder / "run"
        for kind in ("gateway", "build-service", "executor"):
            first, state = fleet.members[f"{kind}-1"], run / f"{kind}-2"
            state.mkdir(exist_ok=True)
            own_kiln.system.give(state, 0o700)
            first.environment["KILN_DRAIN_DELAY_MS"] = "2000"  # the machine may be busy
            fleet.another(first, f"{kind}-2", KILN_LISTEN=f"127.0.0.1:{free_port()}", KILN_OPS_PORT=str(free_port()), KILN_STATE_DIR=str(state)).start()
        yield fleet
    finally:
        fleet.close()


def ops_of(member):
    return f"http://127.0.0.1:{member.environment['KILN_OPS_PORT']}"


def restart(member):
    member.end(signal.SIGTERM)
    member.start()
    wait_for(lambda: is_ready(ops_of(member)), f"{member.name} to be ready again")


def test_restarting_everything_one_by_one_fails_no_request_and_loses_and_repeats_no_build(own_kiln, fleet):
    kiln, project = own_kiln, own_kiln.project()
    members = [fleet.members[name] for name in ("gateway-1", "gateway-2", "build-service-1", "build-service-2", "executor-1", "executor-2", "notifier")]
    for member in members:
        wait_for(lambda one=member: is_ready(ops_of(one)), f"{member.name} to be ready")
    restart(members[0])  # with its patience
    gateways = [(f"http://{member.environment['KILN_LISTEN']}", ops_of(member)) for member in members[:2]]
    balancer = Balancer(gateways, kiln.system.env["KILN_TOKEN"])
    bots = Bots(balancer, project, spec(kiln.agents.write("sleep 0.1"), auto_commit=False))
    try:
        wait_for(lambda: len(bots.tasks) >= RATE, "the load to have begun")
        for member in members:
            restart(member)
            accepted = len(bots.tasks)
            wait_for(lambda least=accepted + RATE: len(bots.tasks) >= least, "the load to go on")
    finally:
        bots.close()
        balancer.close()
    assert bots.failures == []
    ended = [kiln.wait_end(task) for task in bots.tasks]
    assert {build["status"] for build in ended} == {"completed"}
    assert {build["attempts_used"] for build in ended} == {1}
    assert len(set(bots.tasks)) == len(bots.tasks) == kiln.system.sql("select count(*) from build_audit where project_id = %s", project["id"])[0][0]
    assert json.loads(migrate(kiln.system, "verify-audit")[0])["ok"]
