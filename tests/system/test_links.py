"""Every link of the contract leads on: followed from an answer as it says, there is what it names."""

import functools
import re

import pytest
from kiln_testing import contract
from kiln_testing.agents import waiting_spec
from kiln_testing.client import slug
from kiln_testing.waiting import wait_for

# A shared system has few workers, and they are not to leave.
LEFT_OUT = {("listWorkers", "next"), ("getWorker", "drain"), ("drainWorker", "drain"), ("drainWorker", "worker")}
BODIES = {"createBuild": waiting_spec(), "patchProject": {"branch": "other"}}


def links():
    for operation in contract.operations():
        for status in operation.node["responses"]:
            for name, link in operation.answer(status)[0].get("links", {}).items():
                if (operation.id, name) not in LEFT_OUT:
                    yield pytest.param(operation, int(status), link, id=f"{operation.id}-{status}-{name}")


def asked_too_early(operation, answer):
    """A build that has not ended cannot be repeated; of an ended one the link of its GET is."""
    return operation.id != "getBuild" and answer.status_code == 409 and slug(answer) == "build-not-ended"


def ended(kiln):
    """A build that has ended, with two events at least."""
    task = kiln.waiting()
    kiln.cancel(task)
    kiln.wait_end(task)
    return task


def logged(kiln):
    project, _ = kiln.seeded()
    task = kiln.run(project, "echo one; echo two")
    kiln.wait_end(task)
    return task


def two_builds(kiln):
    project = kiln.project()
    for _ in range(2):
        kiln.waiting(project)
    return project["id"]


def two(make):
    def made(kiln):
        for _ in range(2):
            make(kiln)

    return made


def template(kiln):
    return kiln.api.post("/templates", {"name": kiln.name("t"), "text": "x"}, expect=201)


# What the operation is asked for: the variable of its path, from whatever has to be there before; and its body.
BEFORE = {
    "createBuild": lambda kiln: kiln.project()["id"],
    "createBuildAlias": lambda kiln: kiln.project()["name"],
    "getProject": lambda kiln: kiln.project()["id"],
    "patchProject": lambda kiln: kiln.project()["id"],
    "listBuilds": two_builds,
    "getBuild": ended,
    "cancelBuild": lambda kiln: kiln.waiting(),
    "retryBuild": ended,
    "listBuildEvents": ended,
    "listBuildLogs": logged,
    "listProjects": two(lambda kiln: kiln.project()),
    "getQueue": two(lambda kiln: kiln.waiting()),
    "listTemplates": two(template),
    "listTokens": two(lambda kiln: kiln.token(["builds:read"])),
    "listAudit": two(template),
    "getWorker": lambda kiln: kiln.api.get("/workers", expect=200).json()["items"][0]["worker_id"],
}
ASKED = BODIES | {
    "createProject": lambda kiln: {"name": kiln.name()},
    "createBuildAlias": waiting_spec(),
    "createAndBuild": lambda kiln: {"project": {"name": kiln.name()}, "build": waiting_spec()},
    "createTemplate": lambda kiln: {"name": kiln.name("t"), "text": "x"},
    "createToken": {"name": "x", "scopes": ["builds:read"]},
}


def within(node, step):
    if isinstance(node, list):
        assert int(step) < len(node), f"no item {step} yet"  # lists lag behind
        return node[int(step)]
    return node[step]


def value_of(expression, answer, variable):
    """A runtime expression of OpenAPI, of those that the contract has."""
    if expression.startswith("$response.body#"):
        return functools.reduce(within, expression.removeprefix("$response.body#/").split("/"), answer.json())
    if expression.startswith("$response.header."):
        return answer.headers[expression.removeprefix("$response.header.")]
    assert expression.startswith("$request.path."), expression
    return variable


def ask(kiln, operation, values, body):
    """The answer to a request with these parameters, wherever they belong."""
    places = {name: "path" for name in re.findall(r"\{([^}]+)\}", operation.path)}
    places |= operation.places
    assert set(values) <= set(places), "no parameters of the operation"
    path = operation.path
    for name in (name for name, place in places.items() if place == "path"):
        path = path.replace(f"{{{name}}}", str(values[name]))
    query, headers = ({name: str(value) for name, value in values.items() if places[name] == place} for place in ("query", "header"))
    if operation.id == "patchProject":
        headers.setdefault("If-Match", "*")
    return kiln.api.request(operation.method, path, params=query, headers=headers, body=body, expect=(200, 201, 202, 204, 409))


@pytest.mark.parametrize(("operation", "status", "link"), list(links()))
def test_a_link_leads_to_what_is_there(kiln, operation, status, link):
    variable = BEFORE[operation.id](kiln) if operation.id in BEFORE else None
    body = ASKED.get(operation.id)
    values = {name: variable for name in re.findall(r"\{([^}]+)\}", operation.path)} | ({"limit": 1} if "limit" in operation.places else {})

    def has_all():
        answer = ask(kiln, operation, values, body(kiln) if callable(body) else body)
        assert answer.status_code == status, answer.text
        found = {name: value_of(expression, answer, variable) for name, expression in link["parameters"].items()}
        assert None not in found.values(), found
        return found

    found = wait_for(has_all, "an answer that leads on", 60)
    target = next(one for one in contract.operations() if one.id == link["operationId"])
    answer = ask(kiln, target, found, BODIES.get(target.id))
    assert answer.is_success or asked_too_early(operation, answer), answer.text
