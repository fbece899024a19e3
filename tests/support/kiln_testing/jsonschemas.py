"""Kiln's schemas judged by an independent validator (python-jsonschema), openly and strictly.

Strictly means: a field that the schema does not name is wrong too. The schemas of events and answers are open, since consumers have to
tolerate new fields; but what today's Kiln says must be written down.
"""

import copy
import functools
import json

import jsonschema
import referencing
from jsonschema import Draft202012Validator
from referencing.jsonschema import DRAFT202012

from . import places

OPEN = "https://open.kiln.invalid/"  # never fetched: only names of documents
STRICT = "https://strict.kiln.invalid/"


def _byte_limit(compare, text):
    def check(_validator, limit, instance, _schema):
        if isinstance(instance, str) and not compare(len(instance.encode("utf-8", "surrogatepass")), limit):
            yield jsonschema.ValidationError(f"{text} {limit} bytes")

    return check


Validator = jsonschema.validators.extend(
    Draft202012Validator,
    {
        "x-max-bytes": _byte_limit(lambda size, limit: size <= limit, "more than"),
        "x-min-bytes": _byte_limit(lambda size, limit: size >= limit, "less than"),
    },
)


def _holds_value(schema):
    return isinstance(schema, dict) and ("$ref" in schema or "properties" in schema or "allOf" in schema)


def strict(schema):
    """A copy in which every object that lists its fields has no others."""
    return _strict_value(copy.deepcopy(schema))


def _strict_value(schema):
    if not isinstance(schema, dict):
        return schema
    _strict_parts(schema)
    if _holds_value(schema) and "additionalProperties" not in schema:
        schema["unevaluatedProperties"] = False
    return schema


def _strict_parts(schema):
    for name, value in schema.get("properties", {}).items():
        schema["properties"][name] = _strict_value(value)
    for key in ("items", "additionalProperties"):
        if isinstance(schema.get(key), dict):
            schema[key] = _strict_value(schema[key])
    for part in schema.get("allOf", []):
        _strict_parts(part)
    for key in ("anyOf", "oneOf"):
        # Alternatives are values of their own when they refer to something or name a type; else they are conditions.
        for index, part in enumerate(schema.get(key, [])):
            if "$ref" in part or "type" in part:
                schema[key][index] = _strict_value(part)
    for name, value in schema.get("$defs", {}).items():
        # Reached by a reference, whose place says whether the value is closed.
        _strict_parts(value)
        schema["$defs"][name] = value


def schema_files():
    """{path below schemas/: document} of every JSON Schema."""
    return {
        str(path.relative_to(places.SCHEMAS)): json.loads(path.read_text(encoding="utf-8"))
        for path in sorted(places.SCHEMAS.rglob("*.json"))
        if path.name != "problems.json"
    }


@functools.cache
def _registry():
    resources = []
    for name, document in schema_files().items():
        # With it, python-jsonschema would go on with its own validator, without the byte limits.
        del document["$schema"]
        resources.append((OPEN + name, DRAFT202012.create_resource(document)))
        inner = copy.deepcopy(document)
        _strict_parts(inner)
        resources.append((STRICT + name, DRAFT202012.create_resource(inner)))
    return referencing.Registry().with_resources(resources)


@functools.cache
def validator(name, strictly=True):
    """For a file below schemas/, with an optional #/pointer."""
    reference = {"$ref": (STRICT if strictly else OPEN) + name}
    if strictly:
        reference["unevaluatedProperties"] = False
    return Validator(reference, registry=_registry(), format_checker=Validator.FORMAT_CHECKER)


def problems(name, value, strictly=True):
    """What is wrong with value, as sentences; empty when nothing is."""
    return sentences(validator(name, strictly).iter_errors(value))


def sentences(errors):
    return [f"/{'/'.join(str(part) for part in error.absolute_path)}: {error.message[:400]}" for error in errors]


def no_duplicates(pairs):
    """object_pairs_hook of json.loads: a repeated key is wrong."""
    found = {}
    for key, value in pairs:
        assert key not in found, f"duplicate key {key!r}"
        found[key] = value
    return found


def parse(data):
    """Strict JSON from bytes."""
    return json.loads(data.decode("utf-8"), object_pairs_hook=no_duplicates)
