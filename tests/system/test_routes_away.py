"""Kafka, Postgres or both gone at every route, in every way that they go: the answer is one that the contract allows, comes in time, and is true."""

import concurrent.futures
import contextlib
import dataclasses
import uuid
from collections.abc import Callable

import pytest
from kiln_testing import contract
from kiln_testing.access_log import gateway_seconds
from kiln_testing.agents import waiting_spec
from kiln_testing.client import judge, slug
from kiln_testing.kiln import Kiln
from kiln_testing.relay import far_gateway
from kiln_testing.waiting import wait_for

BODY = waiting_spec()
KAFKA_S = 2  # the contract's time for an answer without Kafka; test_kafka_away.py has it without a margin
MARGIN_S = 1  # what Postgres or a processor takes at a busy machine
PATIENT_MS, IMPATIENT_MS = 15000, 1000  # KILN_REQUEST_TIMEOUT_MS: more than Kafka's time with the margin, and less than a statement has
WORKERS = 24  # every write has one at once
LOST_COMMITS = b"kiln_commit"  # the name of the statement, common/pg/pg_exchange.c


@dataclasses.dataclass(frozen=True)
class Away:
    """What is gone, and how: modes are the relay's, `known`: the gateway has noticed."""

    service: str  # kafka, postgres or both
    mode: str
    known: bool = False
    loses: bytes = None
    request_ms: int = PATIENT_MS

    def __str__(self):
        parts = (self.service, self.mode, self.known and "known", self.loses and "lost-commits", self.request_ms == IMPATIENT_MS and "impatient")
        return "-".join(filter(None, parts))

    def takes(self, service):
        return self.service in (service, "both")

    @property
    def limit_s(self):
        return (KAFKA_S if self.service == "kafka" else self.request_ms / 1000) + MARGIN_S


AWAYS = [
    Away("kafka", "refuse"),
    Away("kafka", "hold"),
    Away("kafka", "mute"),
    Away("postgres", "refuse"),
    Away("postgres", "refuse", known=True),
    Away("postgres", "hold"),
    Away("postgres", "mute"),
    Away("postgres", "pass", loses=LOST_COMMITS),
    Away("postgres", "mute", request_ms=IMPATIENT_MS),
    Away("both", "refuse"),
    Away("both", "refuse", known=True),
    Away("both", "mute"),
]


@dataclasses.dataclass(frozen=True, eq=False)
class Kind:
    """What may be told of a route of this kind: "ok" is its usual answer, the others are problems."""

    kafka: set  # while Kafka is away
    postgres: set  # while Postgres is
    known: set  # the same, when the gateway knows it
    lost_commits: set

    def allowed(self, away):
        if away.service == "kafka":
            return self.kafka
        postgres = self.lost_commits if away.loses else self.known if away.known else self.postgres
        if away.service == "postgres":
            return postgres
        return (self.kafka | postgres) - OK | (self.kafka & postgres)  # what needs either cannot be served


OK, UNKNOWN, UNDECIDED = {"ok"}, {"outcome-unknown"}, {"undecidable"}
NO_KAFKA = {"kafka-unavailable", "outcome-unknown"}
NO_POSTGRES = {"database-unavailable"}
LATE = NO_POSTGRES | {"outcome-unknown", "overloaded"}  # a write, where others wait for Postgres too
MEMORY = Kind(OK, OK, OK, OK)
READ = Kind(OK, NO_POSTGRES, NO_POSTGRES, OK)
FEED = Kind(OK, OK | NO_POSTGRES, NO_POSTGRES, OK)  # of a project that the gateway knows
WRITE = Kind(OK, LATE, NO_POSTGRES, UNKNOWN)
PROVED_WRITE = Kind(UNDECIDED, LATE | UNDECIDED, NO_POSTGRES, UNKNOWN | UNDECIDED)  # no build may be on its way
BUILD = Kind(NO_KAFKA, OK | UNKNOWN, OK | UNKNOWN, OK | UNKNOWN)  # unknown: a busy machine's Kafka may be late
KEYED_BUILD = Kind(NO_KAFKA, OK | NO_POSTGRES | UNKNOWN, OK, OK)  # a slow Postgres is no absence: it may know the key
CANCEL = Kind(NO_KAFKA, OK | LATE, OK | NO_POSTGRES, OK)  # the build may be known to have a row
RECORD = Kind(NO_KAFKA, LATE, NO_POSTGRES, OK | UNKNOWN)  # a build's, by a handler that reads Postgres
WRITE_AND_RECORD = Kind(NO_KAFKA, LATE, NO_POSTGRES, UNKNOWN)
EFFECTS = {"ok": (1,), "outcome-unknown": (0, 1)}  # of one request; of all other problems none
# Who must be served, and is told this of what is there, is at a machine that is too busy for the gateway's deadlines: he comes again.
TOO_BUSY = {"kafka": NO_POSTGRES, "postgres": NO_KAFKA | UNDECIDED, "both": set()}
TRIES = 3


@dataclasses.dataclass
class Ask:
    """One request, and (of a write) what there is of what it asks for: a list."""

    method: str
    path: str
    body: dict = None
    headers: dict = dataclasses.field(default_factory=dict)
    found: Callable[[], list] = None


@dataclasses.dataclass(frozen=True, eq=False)
class Case:
    operation: str
    kind: Kind
    status: int
    ask: Callable  # of a bench
    starts: bool = False  # a build
    keyed: bool = False
    note: str = ""

    def __str__(self):
        return "-".join(filter(None, (self.operation, self.note, self.keyed and "keyed")))

    def told(self, answer):
        if answer.status_code == self.status:
            return "ok"
        return slug(answer) if answer.status_code == 503 else str(answer.status_code)


class Bench:
    """What the cases are made of, at a gateway that lets Kafka or Postgres be taken from it alone."""

    def __init__(self, kiln, there, things):
        self.kiln = kiln
        self.there = there
        self.things = things

    def make(self, path, body):
        """With a key: an impatient gateway may not know in time what became of it, and is asked again."""
        return self.there.post(path, body, headers={"Idempotency-Key": str(uuid.uuid4())}, expect=201).json()

    def project(self):
        return self.make("/projects", {"name": self.kiln.name()})

    def waiting(self, project):
        """A build that nobody takes, as Postgres has it."""
        task = self.there.post(f"/projects/{project['id']}/builds", BODY, expect=202).json()["task_id"]
        self.kiln.tap.wait_type(task, "build.pending")
        return task

    def ended(self, project):
        task = self.waiting(project)
        self.there.post(f"/builds/{task}/cancel", expect=202)
        self.kiln.tap.wait_end(task)
        return task

    # -- what there is, as the system's own gateway sees it

    def builds(self, project, but=()):
        answer = self.kiln.api.get(f"/projects/{project}/builds", expect=(200, 404))
        return [item["task_id"] for item in answer.json().get("items", []) if item["task_id"] not in but]

    def there_is(self, path):
        return [path] if self.kiln.api.get(path, expect=(200, 404)).status_code == 200 else []

    def tokens(self, **fields):
        return [item["id"] for item in self.kiln.api.pages("/tokens", limit=500) if fields.items() <= item.items()]


def create_build(bench):
    project = bench.project()
    return Ask("POST", f"/projects/{project['id']}/builds", BODY, found=lambda: bench.builds(project["id"]))


def create_build_of_a_template(bench):
    project, body = bench.project(), BODY | {"template": bench.things["template"]}
    return Ask("POST", f"/project/{project['name']}/build", body, found=lambda: bench.builds(project["id"]))


def create_and_build(bench):
    name = bench.kiln.name()
    return Ask("POST", "/project/create-and-build", {"project": {"name": name}, "build": BODY}, found=lambda: bench.builds(name))


def create_and_build_of_what_is_there(bench):
    name = bench.project()["name"]
    return Ask("POST", "/project/create-and-build", {"project": {"name": name}, "build": BODY}, found=lambda: bench.builds(name))


def retry(bench):
    project = bench.project()
    first = bench.ended(project)
    return Ask("POST", f"/builds/{first}/retry", found=lambda: bench.builds(project["id"], but=[first]))


def cancel(bench):
    task = bench.waiting(bench.project())
    return Ask("POST", f"/builds/{task}/cancel", found=lambda: [task] if bench.kiln.build(task)["status"] == "cancelled" else [])


def drain(bench):
    path = f"/workers/{bench.kiln.absent_worker()}"
    return Ask("POST", f"{path}/drain", found=lambda: [path] if bench.kiln.api.get(path, expect=200).json()["drain_requested"] else [])


def create_project(bench):
    name = bench.kiln.name()
    return Ask("POST", "/projects", {"name": name}, found=lambda: bench.there_is(f"/projects/{name}"))


def patch_project(bench):
    path = f"/projects/{bench.project()['id']}"
    etag = bench.there.get(path, expect=200).headers["etag"]
    return Ask(
        "PATCH", path, {"description": "new"}, {"If-Match": etag},
        lambda: [path] if bench.kiln.api.get(path, expect=200).json()["description"] == "new" else [],
    )  # fmt: skip


def delete_project(bench):
    path = f"/projects/{bench.project()['id']}"
    return Ask("DELETE", path, found=lambda: [] if bench.there_is(path) else [path])


def create_template(bench):
    name = bench.kiln.name("t")
    return Ask("POST", "/templates", {"name": name, "text": "x"}, found=lambda: [v for v in (1, 2) if bench.there_is(f"/templates/{name}?version={v}")])


def create_token(bench):
    name = bench.kiln.name("token")
    return Ask("POST", "/tokens", {"name": name, "scopes": ["builds:read"]}, found=lambda: bench.tokens(name=name))


def delete_token(bench):
    token = bench.make("/tokens", {"name": "short", "scopes": ["builds:read"]})["id"]
    return Ask("DELETE", f"/tokens/{token}", found=lambda: [] if bench.tokens(id=token) else [token])


def read(operation, path, kind=READ, accept="application/json"):
    def ask(bench):
        return Ask("GET", path.format(**bench.things), headers={"Accept": accept})

    return Case(operation, kind, 200, ask, note={"text/event-stream": "stream", "text/plain": "text"}.get(accept, ""))


def keyed(case, kind=None):
    """The same with an Idempotency-Key."""

    def ask(bench):
        plain = case.ask(bench)
        return dataclasses.replace(plain, headers=plain.headers | {"Idempotency-Key": str(uuid.uuid4())})

    return dataclasses.replace(case, kind=kind or case.kind, ask=ask, keyed=True)


def with_key(case, kind=None):
    return [case, keyed(case, kind)]


STREAM = "text/event-stream"
# Writes first: they must not wait for a worker.
CASES = [
    *with_key(Case("createBuild", BUILD, 202, create_build, starts=True), KEYED_BUILD),
    Case("createBuildAlias", BUILD, 202, create_build_of_a_template, starts=True),
    *with_key(Case("createAndBuild", WRITE_AND_RECORD, 202, create_and_build, starts=True)),
    Case("createAndBuild", RECORD, 202, create_and_build_of_what_is_there, starts=True, note="existing"),
    *with_key(Case("retryBuild", RECORD, 202, retry, starts=True)),
    *with_key(Case("cancelBuild", CANCEL, 202, cancel), WRITE_AND_RECORD),
    *with_key(Case("drainWorker", WRITE_AND_RECORD, 202, drain)),
    *with_key(Case("createProject", WRITE, 201, create_project)),
    Case("patchProject", WRITE, 200, patch_project),
    Case("deleteProject", PROVED_WRITE, 204, delete_project),
    *with_key(Case("createTemplate", WRITE, 201, create_template)),
    *with_key(Case("createToken", WRITE, 201, create_token)),
    Case("deleteToken", WRITE, 204, delete_token),
    read("listProjects", "/projects"),
    read("getProject", "/projects/{project}"),
    read("listBuilds", "/projects/{project}/builds"),
    read("getBuild", "/builds/{ended}"),
    read("explainBuild", "/builds/{pending}/explain"),
    read("listBuildEvents", "/builds/{ended}/events"),
    read("listBuildEvents", "/builds/{pending}/events", accept=STREAM),
    read("listBuildLogs", "/builds/{ended}/logs"),
    read("listBuildLogs", "/builds/{ended}/logs", accept="text/plain"),
    read("listBuildLogs", "/builds/{pending}/logs", accept=STREAM),
    read("getArtifact", "/builds/{ended}/artifacts/x.txt", accept="*/*"),
    read("streamProjectEvents", "/projects/{project}/events", FEED, accept=STREAM),
    read("streamEvents", "/events", MEMORY, accept=STREAM),
    read("getQueue", "/queue"),
    read("listWorkers", "/workers"),
    read("getWorker", "/workers/{worker}"),
    read("listTemplates", "/templates"),
    read("getTemplate", "/templates/{template}"),
    read("listTokens", "/tokens"),
    read("listAudit", "/audit"),
    read("getMe", "/me", MEMORY),
    read("getOpenapi", "/openapi.json", MEMORY),
    read("getProblem", "/problems/outcome-unknown", MEMORY),
]


class Salvo:
    """All cases at once at a gateway from which something is taken in that moment; then everything is back, and has been applied."""

    def __init__(self, kiln, things, far, away):
        self.kiln = kiln
        self.away = away
        self.far = far
        kiln.system.sql("update build_audit set updated_at = now() where id = %s", things["ended"])  # as if just now: its log is waited for
        with contextlib.ExitStack() as stack:
            # One each: of a pool that many threads share, one may close the idle connection that another one was just given.
            clients = [stack.enter_context(contextlib.closing(kiln.at(far[0]))) for _ in CASES]
            pool = stack.enter_context(concurrent.futures.ThreadPoolExecutor(len(CASES)))
            benches = [Bench(kiln, client, things) for client in clients]
            self.asks = dict(zip(CASES, pool.map(lambda case, bench: case.ask(bench), CASES, benches), strict=True))
            self._take_away()
            try:
                self.answers = dict(zip(CASES, pool.map(self._answer, clients, CASES), strict=True))
            finally:
                for relay in self._relays:
                    relay.set_mode("pass", cut=True)
        gateway, _, _ = far
        gateway.wait_ready()
        for topic in ("kiln.build.requests", "kiln.worker.events"):
            self.kiln.wait_applied("kiln-build-service", topic)

    @property
    def _relays(self):
        _, postgres, kafka = self.far
        return [relay for relay, service in ((kafka, "kafka"), (postgres, "postgres")) if self.away.takes(service)]

    def _take_away(self):
        for relay in self._relays:
            relay.set_mode(self.away.mode, cut=self.away.mode in ("refuse", "hold"), mute_after=self.away.loses)
        if self.away.known:
            gateway, _, _ = self.far
            wait_for(lambda: gateway.metric("kiln_gateway_database_up") == 0, "the gateway to notice")

    def _answer(self, client, case):
        """(the answer, after how many seconds of the gateway's own)"""
        ask = self.asks[case]
        for _ in range(TRIES):
            answer = client.exchange(ask.method, ask.path, body=ask.body, headers=ask.headers)
            seconds, told = gateway_seconds(self.far[0].log, answer), case.told(answer)
            if told in case.kind.allowed(self.away) or told not in TOO_BUSY[self.away.service]:
                break
        return answer, seconds


@pytest.fixture(name="patient", scope="module")
def patient_fixture(shared_system):
    with far_gateway(shared_system, KILN_WORKERS=str(WORKERS), KILN_REQUEST_TIMEOUT_MS=str(PATIENT_MS)) as far:
        yield far


@pytest.fixture(name="impatient", scope="module")
def impatient_fixture(shared_system):
    with far_gateway(shared_system, KILN_WORKERS=str(WORKERS), KILN_REQUEST_TIMEOUT_MS=str(IMPATIENT_MS)) as far:
        yield far


@pytest.fixture(name="of_module", scope="module")
def of_module_fixture(shared_system, shared_tap, receiver):
    """(a Kiln, what all salvos read)"""
    kiln = Kiln(shared_system, shared_tap, receiver)
    project, _ = kiln.seeded()
    ended = kiln.run(project, "echo hello; echo x > x.txt", artifacts=["x.txt"])
    pending = kiln.waiting(project)
    template = kiln.api.post("/templates", {"name": kiln.name("t"), "text": "{{prompt}}!"}, expect=201).json()["name"]
    things = {"project": project["id"], "ended": ended, "pending": pending, "template": template}
    things["worker"] = kiln.wait_end(ended)["worker_id"]
    kiln.tap.wait_type(pending, "build.pending")
    kiln.log_is_stored(ended)
    yield kiln, things
    kiln.close()


@pytest.fixture(name="salvo", scope="module", params=AWAYS, ids=str)
def salvo_fixture(request, of_module):
    kiln, things = of_module
    far = request.getfixturevalue("patient" if request.param.request_ms == PATIENT_MS else "impatient")
    with contextlib.closing(kiln.at(far[0])) as there:
        # It has the template in memory; projects it makes itself.
        there.post("/projects/{project}/builds".format(**things), BODY | {"template": things["template"]}, expect=202)
    return Salvo(kiln, things, far, request.param)


each_case = pytest.mark.parametrize("case", CASES, ids=str)
each_write = pytest.mark.parametrize("case", [case for case in CASES if case.kind not in (MEMORY, READ, FEED)], ids=str)
each_build = pytest.mark.parametrize("case", [case for case in CASES if case.starts], ids=str)


def test_every_operation_of_the_contract_has_a_case():
    assert {case.operation for case in CASES} == {operation.id for operation in contract.operations()}


@each_case
def test_the_answer_is_one_that_the_contract_allows(salvo, case):
    answer, _ = salvo.answers[case]
    judge(answer, salvo.asks[case].body)
    assert case.told(answer) in case.kind.allowed(salvo.away)
    assert answer.status_code != 503 or int(answer.headers["retry-after"]) > 0


@each_case
def test_the_answer_comes_in_time(salvo, case):
    _, seconds = salvo.answers[case]
    assert seconds < salvo.away.limit_s


@each_build
def test_a_build_whose_fate_is_unknown_is_named(salvo, case):
    answer, _ = salvo.answers[case]
    if case.told(answer) == "outcome-unknown":
        assert answer.json().get("outcome") == "unknown" and uuid.UUID(answer.json().get("task_id"))


@each_write
def test_what_is_there_afterwards_is_what_was_told(salvo, case):
    ask, (answer, _) = salvo.asks[case], salvo.answers[case]
    found, told = ask.found(), case.told(answer)
    assert len(found) in EFFECTS.get(told, (0,)), (told, found)
    task = answer.json().get("task_id") if case.starts else None
    assert task is None or found in ([], [task])
    if case.keyed:
        again = salvo.kiln.api.request(ask.method, ask.path, body=ask.body, headers=ask.headers, expect=case.status)
        assert task is None or again.json()["task_id"] == task
        assert len(wait_for(ask.found, "the effect")) == 1


@pytest.mark.parametrize("again", ["createAndBuild", "createBuild"])
def test_a_project_whose_first_build_did_not_go_out_is_there_by_id_and_name_and_joins_lists_with_the_next_build(kiln, patient, again):
    gateway, _, kafka = patient
    name, there = kiln.name(), kiln.at(gateway)
    body = {"project": {"name": name, "description": "new"}, "build": BODY}
    reader = kiln.token(["projects:read"], projects=[name])

    def listed():
        return [[item["id"] for item in client.pages("/projects")] for client in (reader, kiln.at(gateway, reader))]

    kafka.set_mode("refuse", cut=True)
    try:
        assert slug(there.post("/project/create-and-build", body, expect=503)) in NO_KAFKA
        project = there.get(f"/projects/{name}", expect=200).json()
        assert project["description"] == "new"
        for client in (kiln.api, there):
            assert [client.get(f"/projects/{key}", expect=200).json() for key in (name, project["id"])] == [project, project]
        assert listed() == [[], []]
    finally:
        kafka.set_mode("pass")
    gateway.wait_ready()
    if again == "createAndBuild":
        accepted = kiln.api.post("/project/create-and-build", body, expect=202).json()
        assert accepted["project"]["id"] == project["id"]
    else:
        accepted = kiln.api.post(f"/projects/{name}/builds", BODY, expect=202).json()
    kiln.tap.wait_type(accepted["task_id"], "build.pending")
    assert listed() == [[project["id"]], [project["id"]]]
    assert [item["task_id"] for item in kiln.api.pages(f"/projects/{name}/builds")] == [accepted["task_id"]]


@pytest.mark.parametrize("headers", [{}, {"Idempotency-Key": str(uuid.uuid4())}], ids=["without-key", "with-key"])
def test_who_repeats_a_create_and_build_that_was_503_is_told_the_secret_of_the_project(kiln, patient, headers):
    gateway, _, kafka = patient
    body = {"project": {"name": kiln.name()}, "build": BODY}
    kafka.set_mode("refuse", cut=True)
    try:
        assert slug(kiln.at(gateway).post("/project/create-and-build", body, headers=headers, expect=503)) in NO_KAFKA
    finally:
        kafka.set_mode("pass")
    gateway.wait_ready()
    accepted = kiln.api.post("/project/create-and-build", body, headers=headers, expect=202).json()
    (secret,) = kiln.system.sql("select 'whsec_' || encode(webhook_secret, 'base64') from projects where id = %s", accepted["project"]["id"])[0]
    assert accepted["project"]["webhook_secret"] == secret
    kiln.tap.wait_type(accepted["task_id"], "build.pending")
    assert "webhook_secret" not in kiln.api.post("/project/create-and-build", body, headers=headers, expect=202).json()["project"]
