"""The contract's files are valid by their own standards, and the gateway is what they say."""

import json
import pathlib
import re
import subprocess
import uuid

import jsonschema
import openapi_spec_validator
import pytest
import yaml
from kiln_testing import contract, jsonschemas, places, records
from openapi_spec_validator.readers import read_from_filename

KEYWORDS = set(
    """type properties required additionalProperties propertyNames minProperties maxProperties enum const minimum maximum minLength
    maxLength pattern format items minItems maxItems uniqueItems oneOf anyOf allOf $ref $defs title description $schema $comment
    examples default deprecated""".split()
)
ASYNCAPI_SCHEMA = pathlib.Path(__file__).parents[1] / "support" / "asyncapi" / "3.0.0.json"


@pytest.mark.parametrize("name", sorted(jsonschemas.schema_files()))
def test_schema_is_a_valid_2020_12_schema(name):
    jsonschema.Draft202012Validator.check_schema(jsonschemas.schema_files()[name])


def _schemas(node):
    """All schemas inside a schema."""
    if isinstance(node, dict):
        yield node
        for key, value in node.items():
            if key in ("properties", "$defs"):
                for inner in value.values():
                    yield from _schemas(inner)
            elif key in ("items", "additionalProperties", "propertyNames"):
                yield from _schemas(value)
            elif key in ("oneOf", "anyOf", "allOf"):
                for inner in value:
                    yield from _schemas(inner)


@pytest.mark.parametrize("name", sorted(jsonschemas.schema_files()))
def test_schema_promises_only_what_the_services_check(name):
    for schema in _schemas(jsonschemas.schema_files()[name]):
        unknown = {key for key in schema if key not in KEYWORDS and not key.startswith("x-")}
        assert not unknown, f"{unknown} in {schema}"


@pytest.mark.parametrize("name", sorted(name for name in jsonschemas.schema_files() if name.startswith("events/")))
def test_schema_of_an_event_is_open(name):
    assert "additionalProperties" not in jsonschemas.schema_files()[name]


@pytest.mark.parametrize(
    "name",
    ["build-spec.json"]
    + [f"rest/{n}.json" for n in ("project-create", "project-patch", "create-and-build", "template-create", "token-create", "nothing")],
)
def test_schema_of_a_request_body_is_closed(name):
    assert jsonschemas.schema_files()[name]["additionalProperties"] is False


def test_every_shared_piece_is_used():
    text = json.dumps(jsonschemas.schema_files()) + "".join(path.read_text() for path in places.SCHEMAS.rglob("*.yaml"))
    unused = [
        name
        for name in jsonschemas.schema_files()["common.json"]["$defs"]
        if f'#/$defs/{name}"' not in text and f"#/$defs/{name}'" not in text
    ]
    assert not unused


def test_openapi_source_is_valid_openapi_3_1():
    document, uri = read_from_filename(str(places.SCHEMAS / "openapi.yaml"))
    openapi_spec_validator.validate(document, base_uri=uri)


def test_openapi_bundle_is_valid_and_self_contained():
    openapi_spec_validator.validate(contract.document())
    references = [text for text in json.dumps(contract.document()).split('"$ref": "')[1:] if not text.startswith("#/")]
    assert not references


def test_openapi_examples_fit_their_schemas():
    found = 0

    def walk(node):
        nonlocal found
        if isinstance(node, dict):
            if "schema" in node and "examples" in node:
                schema = {**node["schema"], "components": contract.document()["components"]}
                for name, example in node["examples"].items():
                    found += 1
                    assert not jsonschemas.Validator(schema).sentences(example["value"]), name
            for value in node.values():
                walk(value)
        elif isinstance(node, list):
            for value in node:
                walk(value)

    walk(contract.document())
    assert found > 30


def test_openapi_examples_of_a_projects_entity_tag_have_its_form():
    """Who writes a client takes them for what a tag is."""
    components = contract.document()["components"]
    problem = components["responses"]["PreconditionFailed"]["content"]["application/problem+json"]["examples"]["precondition-failed"]["value"]
    tags = [one["example"] for one in components["parameters"].values() if one["name"] == "If-Match"]
    tags.append(problem["detail"].removeprefix("The current ETag is ").removesuffix("."))
    assert len(tags) == 3 and all(re.search(components["headers"]["ETag"]["schema"]["pattern"], tag) for tag in tags), tags


def test_openapi_operations_have_distinct_ids_and_document_errors():
    ids = [operation.id for operation in contract.operations()]
    assert len(set(ids)) == len(ids)
    for operation in contract.operations():
        statuses = set(operation.node["responses"])
        assert "503" in statuses, operation.id
        if operation.scopes is not None:
            assert "401" in statuses, operation.id
        if operation.scopes:
            assert "403" in statuses, operation.id


def test_openapi_has_what_any_request_may_bring_and_get():
    for operation in contract.operations():
        assert {"X-Request-Id", "traceparent"} <= operation.places.keys(), operation.id
        assert {"408", "414", "417", "431"} <= set(operation.node["responses"]), operation.id
        for status in operation.node["responses"]:
            assert "X-Request-Id" in operation.answer(status)[0]["headers"], (operation.id, status)


def test_openapi_operations_that_may_be_412_tell_by_which_fields():
    conditional = [operation for operation in contract.operations() if "412" in operation.node["responses"]]
    assert conditional
    for operation in conditional:
        assert {"If-Match", "If-None-Match"} <= operation.places.keys(), operation.id


def test_openapi_shows_every_problem_where_it_belongs():
    shown = set()
    for operation in contract.operations():
        for status in operation.node["responses"]:
            content = operation.answer(status)[0].get("content", {})
            shown |= set(content.get("application/problem+json", {}).get("examples", ()))
    # That one belongs to methods that are no operations.
    assert shown == set(contract.problem_types()) - {"method-not-allowed"}


def test_asyncapi_is_valid_asyncapi_3():
    schema = json.loads(ASYNCAPI_SCHEMA.read_text(encoding="utf-8"))
    document = yaml.safe_load((places.SCHEMAS / "asyncapi.yaml").read_text(encoding="utf-8"))
    messages = yaml.safe_load((places.SCHEMAS / "asyncapi" / "messages.yaml").read_text(encoding="utf-8"))
    jsonschema.Draft7Validator(schema).validate(document)
    # The same with the messages in their places.
    for channel in document["channels"].values():
        for name in channel["messages"]:
            channel["messages"][name] = messages[name]
    jsonschema.Draft7Validator(schema).validate(document)


def test_asyncapi_has_every_topic_and_every_type_with_a_schema():
    document = yaml.safe_load((places.SCHEMAS / "asyncapi.yaml").read_text(encoding="utf-8"))
    messages = yaml.safe_load((places.SCHEMAS / "asyncapi" / "messages.yaml").read_text(encoding="utf-8"))
    topics = {}
    for channel in document["channels"].values():
        names = []
        for name, reference in channel["messages"].items():
            assert reference == {"$ref": f"asyncapi/messages.yaml#/{name}"}
            message = messages[name]
            names.append(message["name"])
            if message["name"] != "dead-letter":
                assert message["payload"]["schema"] == {"$ref": f"../events/{message['name']}.json"}
        topics[channel["address"]] = sorted(names)
    expected = {topic: sorted(types) for topic, (_, types, _) in records.TOPICS.items()}
    assert topics == expected | {records.DEAD_LETTERS: ["dead-letter"], records.RESERVED: []}
    files = {name[len("events/") : -len(".json")] for name in jsonschemas.schema_files() if name.startswith("events/")}
    assert files == {name for names in expected.values() for name in names}


def test_what_a_run_publishes_is_as_asyncapi_says(kiln):
    document = yaml.safe_load((places.SCHEMAS / "asyncapi.yaml").read_text(encoding="utf-8"))
    messages = yaml.safe_load((places.SCHEMAS / "asyncapi" / "messages.yaml").read_text(encoding="utf-8"))
    told = {(channel["address"], messages[name]["name"]): messages[name] for channel in document["channels"].values() for name in channel["messages"]}
    project, _ = kiln.seeded()
    kiln.api.patch(f"/projects/{project['id']}", {"concurrency": 2}, headers={"If-Match": "*"}, expect=200)
    assert kiln.wait_end(kiln.run(project, "echo hello"))["status"] == "completed"
    waiting = kiln.waiting(project)
    kiln.cancel(waiting)
    kiln.wait_end(waiting)
    kiln.api.get(f"/builds/{uuid.uuid4()}", expect=404)  # proved by a barrier
    usual = {name for topic in ("kiln.build.requests", "kiln.build.results") for name in records.TOPICS[topic][1]}
    usual |= {"attempt.assign", "attempt.released", "worker.hello", "worker.heartbeat", "build.log", "build.pending", "build.started"}
    usual |= {"build.phase", "build.completed", "build.cancelled", "project.created", "project.changed"}

    def one_of_each():
        own = [record for record in list(kiln.tap.records) if record.topic != records.DEAD_LETTERS and records.RUBBISH not in record.headers]
        found = {(record.topic, record.type): record for record in own}
        return found if usual <= {name for _, name in found} else None

    # A worker says hello once, and those that are there may have said it before this process began to read.
    with kiln.system.executor(labels=["of-the-contract"]):
        seen = kiln.tap.wait(one_of_each, "one record of each usual type")
    for place, record in seen.items():
        message = told[place]
        parts = [(message["headers"]["schema"], record.headers), (message["payload"]["schema"], record.data)]
        if record.type not in records.KEYLESS:
            parts.append((message["bindings"]["kafka"]["key"], record.key))
        for schema, value in parts:
            assert jsonschemas.problems_inline("asyncapi/messages.yaml", schema, value) == [], place


def test_gateway_and_contract_have_the_same_routes_and_scopes():
    output = subprocess.run([places.BIN / "kiln-gateway", "--routes"], capture_output=True, text=True, timeout=120, check=True).stdout
    gateway = set()
    for line in output.splitlines():
        method, path, scope = line.split()
        gateway.add((method, path, {"none": None, "any": ""}.get(scope, "+".join(sorted(scope.split("+"))))))
    published = {
        (operation.method, operation.path, None if operation.scopes is None else "+".join(operation.scopes))
        for operation in contract.operations()
    }
    assert gateway == published


def test_topics_are_as_published(kiln):
    from confluent_kafka import admin

    document = yaml.safe_load((places.SCHEMAS / "asyncapi.yaml").read_text(encoding="utf-8"))
    client = admin.AdminClient({"bootstrap.servers": kiln.system.brokers})
    made = {name for name in client.list_topics(timeout=60).topics if name.startswith("kiln.")}
    assert {channel["address"] for channel in document["channels"].values()} == made
    for channel in document["channels"].values():
        bound = channel["bindings"]["kafka"]
        assert len(client.list_topics(bound["topic"], timeout=60).topics[bound["topic"]].partitions) == bound["partitions"]
        resource = admin.ConfigResource(admin.ConfigResource.Type.TOPIC, bound["topic"])
        configs = client.describe_configs([resource])[resource].result(60)
        for name, value in bound["topicConfiguration"].items():
            wanted = ",".join(value) if isinstance(value, list) else str(value)
            assert configs[name].value == wanted, f"{name} of {bound['topic']}"
        assert configs["message.timestamp.type"].value == "LogAppendTime"


def test_openapi_json_is_the_contract_without_a_token(kiln):
    answer = kiln.api.with_token(None).get("/openapi.json", expect=200)
    assert answer.json() == contract.document()


@pytest.mark.parametrize("slug", sorted(contract.problem_types()))
def test_problem_type_gets_to_its_explanation(kiln, slug):
    known = contract.problem_types()[slug]
    answer = kiln.api.with_token(None).get(f"/problems/{slug}", expect=200).json()
    assert answer == {"type": f"/problems/{slug}", **{key: known[key] for key in ("title", "status", "explanation")}}


def test_what_explanations_lead_to_is_there_without_a_token(kiln):
    explanations = " ".join(known["explanation"] for known in contract.problem_types().values())
    paths = set(re.findall(r"GET (/[a-z./-]+)", explanations))
    assert paths
    for path in paths:
        kiln.api.with_token(None).get(path, expect=200)


def test_an_unknown_problem_type_is_404(kiln):
    kiln.api.with_token(None).get("/problems/no-such-problem", expect=404)
