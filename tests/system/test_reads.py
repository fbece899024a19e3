"""Every route that is read, as the contract lists them: an entity tag, 304 for who has it, and HEAD."""

import pytest
from kiln_testing import contract, raw

READS = [operation for operation in contract.operations() if operation.method == "GET"]
STREAM = "text/event-stream"
# How each is asked for; a new route needs a line.
PATHS = {
    "listProjects": "/projects",
    "getProject": "/projects/{project}",
    "listBuilds": "/projects/{project}/builds",
    "getBuild": "/builds/{task}",
    "explainBuild": "/builds/{task}/explain",
    "listBuildEvents": "/builds/{task}/events",
    "listBuildLogs": "/builds/{task}/logs",
    "getArtifact": "/builds/{task}/artifacts/x.txt",
    "getQueue": "/queue",
    "listWorkers": "/workers",
    "getWorker": "/workers/{worker}",
    "listTemplates": "/templates",
    "getTemplate": "/templates/{template}",
    "listTokens": "/tokens",
    "listAudit": "/audit?token={reader}",
    "getMe": "/me",
    "getOpenapi": "/openapi.json",
    "getProblem": "/problems/not-found",
}
# Their answers tell when they were made, and so are never the same twice.
NEVER_TWICE = {"explainBuild"}
# What others do changes some lists, and a heartbeat changes a worker: such an answer is asked for again.
TRIES = 20
# Header fields of one answer, not of what is read.
OF_THE_ANSWER = {"date", "x-request-id"}


def types_of(operation):
    return [name for name in operation.answer(200)[0]["content"] if name != STREAM]


each_read = pytest.mark.parametrize(
    ("operation", "media_type"),
    [pytest.param(operation, name, id=f"{operation.id}-{name}") for operation in READS for name in types_of(operation)],
)


class Reader:
    """Who sees of the shared system, as far as scopes go, what one test makes."""

    def __init__(self, kiln):
        project, _ = kiln.seeded()
        task = kiln.run(project, "echo hello; echo x > x.txt", artifacts=["x.txt"])
        template = kiln.api.post("/templates", {"name": kiln.name("t"), "text": "x"}, expect=201).json()["name"]
        worker = kiln.wait_end(task)["worker_id"]
        kiln.waiting(project)
        kiln.log_is_stored(task)
        scopes = ["projects:read", "builds:read", "workers:read", "templates:read", "tokens:write"]
        self.narrow = kiln.token(scopes, projects=[project["name"]])
        self.wide = kiln.api
        self.things = {"project": project["id"], "task": task, "template": template, "worker": worker, "reader": self.narrow.id}

    def path(self, operation):
        return PATHS[operation.id].format(**self.things)

    def client(self, operation):
        return self.wide if operation.scopes == ["admin"] else self.narrow

    def get(self, operation, media_type, **headers):
        """As it is: what is sent as gzip has another tag (test_content_coding.py), and what is in memory is not."""
        plain = {"Accept": media_type, "Accept-Encoding": "identity"}
        return self.client(operation).get(self.path(operation), headers=plain | headers, expect=(200, 304))

    def bytes_of(self, method, operation, media_type, *lines):
        client = self.client(operation)
        fields = (f"Accept: {media_type}", "Connection: close", *lines)
        return raw.exchange(client.url, raw.head(client.token, method, self.path(operation), *fields))


@pytest.fixture(name="reader", scope="module")
def reader_fixture(kiln_of_module):
    return Reader(kiln_of_module)


def test_whatever_is_read_has_an_etag_and_304_in_the_contract():
    for operation in READS:
        if types_of(operation):
            assert "ETag" in operation.answer(200)[0]["headers"], operation.id  # "required" where there is no stream
            assert "304" in operation.node["responses"], operation.id
            assert {"If-None-Match", "If-Match"} <= operation.places.keys(), operation.id


@each_read
def test_what_has_not_changed_is_304_and_what_has_is_200_with_another_etag(reader, operation, media_type):
    for _ in range(TRIES):
        first = reader.get(operation, media_type)
        again = reader.get(operation, media_type, **{"If-None-Match": first.headers["etag"]})
        if again.status_code == 304:
            break
        assert again.headers["etag"] != first.headers["etag"] and again.content != first.content
    assert (again.status_code == 200) == (operation.id in NEVER_TWICE)
    if again.status_code == 304:
        assert again.content == b"" and "content-type" not in again.headers
        for name in ("etag", "cache-control", "vary"):
            assert again.headers.get(name) == first.headers.get(name), name


@each_read
def test_whatever_is_there_is_304_for_who_has_any_of_it(reader, operation, media_type):
    again = reader.get(operation, media_type, **{"If-None-Match": "*"})
    assert again.status_code == 304 and again.content == b"" and again.headers["etag"]


@each_read
@pytest.mark.parametrize(("lines", "status"), [([], 200), (["If-None-Match: *"], 304)], ids=["whole", "conditional"])
def test_a_head_has_the_status_and_the_fields_of_the_get_and_no_body(reader, operation, media_type, lines, status):
    for _ in range(TRIES):
        head = raw.answer_to_head(reader.bytes_of("HEAD", operation, media_type, *lines))
        (get,) = raw.answers(reader.bytes_of("GET", operation, media_type, *lines))
        changes = OF_THE_ANSWER | ({"etag"} if operation.id in NEVER_TWICE else set())
        told = [{name: value for name, value in answer.headers.items() if name not in changes} for answer in (head, get)]
        if head.status == get.status == status and told[0].get("etag") == told[1].get("etag"):
            break
        assert 503 in (head.status, get.status) or head.headers["etag"] != get.headers["etag"]
    assert (head.status, told[0]) == (get.status, told[1]) and get.status == status
    assert status == 304 or (int(head.headers["content-length"]) == len(get.body) > 0 and head.headers["content-type"])
