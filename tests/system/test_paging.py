"""Pages of every list that the contract has: what is added between two of them makes no repeats and no holes."""

import dataclasses
import itertools
from collections.abc import Callable

import pytest
from kiln_testing import contract
from kiln_testing.agents import Gate, spec, waiting_spec
from kiln_testing.client import Client
from kiln_testing.waiting import wait_for

OLD = 7
LIMIT = 2


@dataclasses.dataclass
class Paged:
    """A list of which the test has made some items."""

    path: str
    key: Callable  # of an item
    old: list  # keys, in the order of the list; others' may stand between them
    add: Callable  # one more item, whose key it returns
    client: Client
    params: dict = dataclasses.field(default_factory=dict)
    newest_first: bool = True


def builds_of(**params):
    def builds(kiln):
        project = kiln.project()

        def add():
            task = kiln.waiting(project)
            kiln.tap.wait_type(task, "build.pending")
            return task

        old = [add() for _ in range(OLD)]
        return Paged(f"/projects/{project['id']}/builds", lambda item: item["task_id"], old[::-1], add, kiln.api, params)

    return builds


def projects(kiln):
    names = [kiln.name() for _ in range(3 * OLD)]
    rest = iter(names)

    def add():
        return kiln.project(name=next(rest))["name"]

    old = [add() for _ in range(OLD)]
    return Paged("/projects", lambda item: item["name"], old[::-1], add, kiln.token(["projects:read"], projects=names))


def tokens(kiln):
    """Of a token that sees no others."""
    project = kiln.project()["name"]

    def add():
        return kiln.token(["builds:read"], projects=[project]).id

    client = kiln.token(["tokens:write", "builds:read"], projects=[project])
    old = [client.id, *(add() for _ in range(OLD))]
    return Paged("/tokens", lambda item: item["id"], old[::-1], add, client)


def templates(kiln):
    """By name: what is added comes before the place of the reader, and behind it, or is the next version of what he has seen or will see."""
    start = f"0{kiln.name()}"  # before the names of other tests
    old = [f"{start}-{number:02}" for number in range(1, 2 * OLD, 2)]
    new = [f"{start}-{number:02}" for number in range(0, 2 * OLD, 2)]
    turns = itertools.chain.from_iterable(zip(new, new[::-1], old, old[::-1], strict=False))

    def add(name=None):
        return kiln.api.post("/templates", {"name": name or next(turns), "text": "x"}, expect=201).json()["name"]

    for name in old:
        add(name)
    return Paged("/templates", lambda item: item["name"], old, add, kiln.api, newest_first=False)


def audit_of(*filters):
    def audit(kiln):
        bot = kiln.token(["projects:write", "templates:write", "builds:write"])
        project = bot.post("/projects", {"name": kiln.name()}, expect=201).json()

        def patch():
            bot.patch(f"/projects/{project['id']}", {"description": kiln.name()}, headers={"If-Match": "*"}, expect=200)

        def template():
            bot.post("/templates", {"name": kiln.name("t"), "text": "x"}, expect=201)

        def build():
            task = bot.post(f"/projects/{project['id']}/builds", waiting_spec(), expect=202).json()["task_id"]
            kiln.tap.wait_type(task, "build.pending")

        turns = itertools.cycle([patch] if "resource" in filters else [patch, build, template])

        def add():
            next(turns)()
            return written()[0]

        def written(**params):
            return [item["id"] for item in kiln.api.pages("/audit", limit=500, token=bot.id, **params)]

        for _ in range(OLD):
            add()
        old = written()
        known = {"token": bot.id, "resource": project["id"]}
        params = {name: known[name] for name in filters}
        # Without a filter those of others are in it too: not all that there ever were.
        params["created_after"] = kiln.api.get(f"/projects/{project['id']}", expect=200).json()["created_at"]
        return Paged("/audit", lambda item: item["id"], old, add, kiln.api, params)

    return audit


def workers(kiln):
    made = sorted(kiln.absent_worker() for _ in range(OLD))
    return Paged("/workers", lambda item: item["worker_id"], made, kiln.absent_worker, kiln.api, newest_first=False)


def queue(kiln):
    """Lines by project and class: what is added comes before the place of the reader, and behind it, or joins a line."""
    made = sorted((kiln.project() for _ in range(3)), key=lambda project: project["name"])
    names = [project["name"] for project in made]
    turns = itertools.cycle([made[0], made[-1]])

    def line(item):
        return item["project"]["name"], tuple(item["labels"])

    def add(project=None, label=None):
        project = project or next(turns)
        task = kiln.post(project, spec("none", labels=[label or kiln.name("l"), "nobody-has-this"]))
        kiln.tap.wait_type(task, "build.pending")
        return line({"project": project, "labels": sorted(kiln.build(task)["spec"]["labels"])})

    client = kiln.token(["builds:read"], projects=names)
    added = {add(project, f"l{number}") for project in made for number in range(3)}
    old = [line(item) for item in client.pages("/queue", limit=500)]
    assert set(old) == added and [name for name, _ in old] == sorted(name for name, _ in added)

    def more():
        add(made[1], "l1")
        return add()

    return Paged("/queue", line, old, more, client, newest_first=False)


def trail_or_log(kiln, path, key, wait_stored):
    """Of a build that goes on after the first page."""
    project, _ = kiln.seeded()
    gate = Gate(kiln)
    task = kiln.run(project, f"seq 5; {gate.script}; seq 6 9")
    kiln.wait_phase(task, "agent")
    wait_stored(task)
    old = [key(item) for item in kiln.api.pages(f"/builds/{task}/{path}")]

    def add():
        gate.open()
        kiln.wait_end(task)
        kiln.log_is_stored(task)
        return key(kiln.api.pages(f"/builds/{task}/{path}")[-1])

    return Paged(f"/builds/{task}/{path}", key, old, add, kiln.api, newest_first=False)


def events(kiln):
    return trail_or_log(kiln, "events", lambda item: item["hash"], lambda task: None)


def log(kiln):
    return trail_or_log(kiln, "logs", lambda item: item["sequence"], lambda task: wait_lines(kiln, task))


def wait_lines(kiln, task):
    wait_for(lambda: len(kiln.log(task)) == 5, "the first lines")


CASES = [
    ("listBuilds", builds_of(), ""),
    ("listBuilds", builds_of(status="pending"), "status"),
    ("listBuilds", builds_of(agent="command", label="nobody-has-this"), "label"),
    ("listProjects", projects, ""),
    ("listTokens", tokens, ""),
    ("listTemplates", templates, ""),
    ("listAudit", audit_of(), ""),
    ("listAudit", audit_of("token"), "token"),
    ("listAudit", audit_of("resource"), "resource"),
    ("listWorkers", workers, ""),
    ("getQueue", queue, ""),
    ("listBuildEvents", events, ""),
    ("listBuildLogs", log, ""),
]


def test_every_list_of_the_contract_has_a_case():
    assert {operation for operation, _, _ in CASES} == {operation.id for operation in contract.operations() if "cursor" in operation.places}


@pytest.mark.parametrize("make", [pytest.param(make, id="-".join(filter(None, (operation, note)))) for operation, make, note in CASES])
def test_what_is_added_while_paging_makes_no_repeats_and_no_holes(kiln, make):
    listed = make(kiln)
    answer = listed.client.get(listed.path, params={"limit": LIMIT} | listed.params, expect=200)
    seen, added = [], set()
    while True:
        page = [listed.key(item) for item in answer.json()["items"]]
        assert len(page) <= LIMIT
        seen += page
        if "next" not in answer.links:
            break
        if 0 < len(set(listed.old) & set(seen)) < len(listed.old):  # the reader's place is among them
            added.add(listed.add())
        answer = listed.client.get(answer.links["next"]["url"], expect=200)
    assert added and len(seen) == len(set(seen))
    assert [key for key in seen if key in set(listed.old)] == listed.old
    if listed.newest_first:
        assert not added & set(seen)
