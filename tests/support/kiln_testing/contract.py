"""openapi.yaml as a judge: every answer of the gateway is compared with what the contract says of its route."""

import functools
import json
import re
import sys

from . import jsonschemas, places

METHODS = ("get", "post", "put", "patch", "delete")
BUNDLE = "https://bundle.kiln.invalid/openapi.json"
UNKNOWN = "/problems/outcome-unknown"
# The 503 of the routes that start builds.
BUILDS = "/components/responses/BuildUnavailable"


@functools.cache
def document():
    """The bundled openapi.json."""
    sys.path.insert(0, str(places.SCHEMAS))
    try:
        import bundle
    finally:
        sys.path.pop(0)
    return bundle.bundle(str(places.SCHEMAS))


@functools.cache
def problem_types():
    return {row["slug"]: row for row in json.loads((places.SCHEMAS / "problems.json").read_text(encoding="utf-8"))}


@functools.cache
def _documents():
    strict = {**document(), "components": {**document()["components"]}}
    strict["components"]["schemas"] = {name: jsonschemas.strict_copy(schema) for name, schema in document()["components"]["schemas"].items()}
    return jsonschemas.Documents({BUNDLE: strict})


@functools.cache
def _validator(pointer, strictly):
    return jsonschemas.Validator(jsonschemas.reference(f"{BUNDLE}#{pointer}", strictly), _documents())


def _escape(part):
    return part.replace("~", "~0").replace("/", "~1")


def _follow(node, pointer):
    """A node that may be a reference into components, and its pointer."""
    while isinstance(node, dict) and "$ref" in node:
        pointer = node["$ref"].removeprefix("#")
        node = document()
        for part in pointer.strip("/").split("/"):
            node = node[part.replace("~1", "/").replace("~0", "~")]
    return node, pointer


class Operation:
    """One method of one path of the contract."""

    def __init__(self, method, path, node):
        self.method = method.upper()
        self.path = path
        self.node = node
        self.pointer = f"/paths/{_escape(path)}/{method}"
        self.id = node["operationId"]
        parts = re.split(r"\{[^}]+\}", path)
        # The path of an artifact has slashes of its own.
        parameters = [".+" if name == "{path}" else "[^/]+" for name in re.findall(r"\{[^}]+\}", path)]
        self.pattern = re.compile("".join(re.escape(part) + parameter for part, parameter in zip(parts, [*parameters, ""], strict=True)))
        # A path with fewer parameters wins: /project/create-and-build is no {name}.
        self.variables = len(parts) - 1

    @property
    def scopes(self):
        """The scopes of the one security requirement; None when no token is needed."""
        security = self.node.get("security", document()["security"])
        return sorted(security[0]["bearer"]) if security else None

    @property
    def places(self):
        """{name: where it stands} of its own parameters."""
        return {node["name"]: node["in"] for node in (_follow(one, "")[0] for one in self.node.get("parameters", []))}

    def answer(self, status):
        """(node, pointer) of the answer with that status, or (None, None)."""
        node = self.node["responses"].get(str(status))
        if node is None:
            return None, None
        return _follow(node, f"{self.pointer}/responses/{status}")

    def judge_answer(self, status, headers, body):
        node, pointer = self.answer(status)
        if node is None:
            return [f"status {status} is not in the contract of {self.method} {self.path}: {body[:500]!r}"]
        return list(_judge(node, pointer, status, headers, body))

    def judge_request(self, media_type, value):
        """What the published schema says of a request's body."""
        content = self.node.get("requestBody", {}).get("content", {})
        if media_type not in content:
            return [f"no body of type {media_type}"]
        pointer = f"{self.pointer}/requestBody/content/{_escape(media_type)}/schema"
        return _validator(pointer, False).sentences(value)


@functools.cache
def operations():
    found = []
    for path, item in document()["paths"].items():
        found += [Operation(method, path, item[method]) for method in METHODS if method in item]
    return sorted(found, key=lambda operation: operation.variables)


def find(method, path):
    """The operation of a request, or None when the contract has none."""
    for operation in operations():
        if operation.method == method and operation.pattern.fullmatch(path):
            return operation
    return None


def methods_of(path):
    return sorted({operation.method for operation in operations() if operation.pattern.fullmatch(path)})


def _judge(node, pointer, status, headers, body):
    for name, header in node.get("headers", {}).items():
        header, header_pointer = _follow(header, f"{pointer}/headers/{_escape(name)}")
        value = headers.get(name)
        if value is not None:
            yield from (f"header {name}: {text}" for text in _validator(header_pointer + "/schema", False).sentences(value))
        elif header.get("required"):
            yield f"header {name} is missing"
    content = node.get("content")
    if not content:
        if body:
            yield f"a body where none belongs: {body[:200]!r}"
        return
    media_type = headers.get("content-type", "").partition(";")[0].strip()
    if "*/*" in content and media_type:
        return
    if media_type not in content:
        yield f"content type {media_type!r}, not one of {sorted(content)}"
        return
    if media_type.startswith("text/"):
        body.decode("utf-8")
        return
    try:
        value = jsonschemas.parse(body)
    except (ValueError, AssertionError) as error:
        yield f"the body is no good JSON: {error}: {body[:200]!r}"
        return
    schema = f"{pointer}/content/{_escape(media_type)}/schema"
    strictly = "$ref" in content[media_type]["schema"]
    yield from _validator(schema, strictly).sentences(value)
    if media_type == "application/problem+json":
        yield from judge_problem(status, value)
        if pointer == BUILDS and "outcome" in value and "task_id" not in value:
            yield "a build whose fate is unknown, and no task_id"


def judge_problem(status, value):
    """RFC 9457 as Kiln promises it: a known type, with its title and status, and the outcome if that is what is not known."""
    known = problem_types().get(str(value.get("type", "")).removeprefix("/problems/"))
    if known is None:
        yield f"unknown problem type {value.get('type')!r}"
        return
    if value.get("title") != known["title"]:
        yield f"title {value.get('title')!r} is not that of {value['type']}"
    if not status == value.get("status") == known["status"]:
        yield f"status {status} in HTTP, {value.get('status')} in the body, {known['status']} by its type"
    if ("outcome" in value) != (value["type"] == UNKNOWN):
        yield f"outcome {value.get('outcome')!r} in {value['type']}"
    if "task_id" in value and value["type"] != UNKNOWN:
        yield f"task_id in {value['type']}"


def judge_elsewhere(method, path, status, headers, body):
    """An answer to what is no route: 404, or 405 with Allow; always a problem."""
    allowed = methods_of(path)
    expected = 405 if allowed else 404
    if status not in (expected, 400, 401, 406, 414, 501, 503):
        yield f"{method} {path} is no route: status {status}, not {expected}"
    if status == 405 and sorted(re.split(r"\s*,\s*", headers.get("allow", ""))) != allowed:
        given = set(re.split(r"\s*,\s*", headers.get("allow", "")))
        if not (set(allowed) <= given <= set(allowed) | {"HEAD", "OPTIONS"}):
            yield f"Allow is {headers.get('allow')!r}, not {allowed}"
    if headers.get("content-type") != "application/problem+json":
        yield f"content type {headers.get('content-type')!r}"
        return
    value = jsonschemas.parse(body)
    yield from jsonschemas.problems("rest/problem.json", value)
    yield from judge_problem(status, value)
