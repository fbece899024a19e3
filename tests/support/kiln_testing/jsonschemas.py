"""Kiln's schemas judged by independent validators, openly and strictly.

jsonschema-rs looks first, in a hundredth of the time: a suite judges all that its system says, again and again. What it does not
find right goes to python-jsonschema, whose sentences are the better ones.

Strictly means: a field that the schema does not name is wrong too. The schemas of events and answers are open, since consumers have to
tolerate new fields; but what today's Kiln says must be written down.
"""

import copy
import functools
import json
import urllib.parse

import jsonschema
import jsonschema_rs
import referencing
from jsonschema import Draft202012Validator
from referencing.jsonschema import DRAFT202012

from . import places

OPEN = "https://open.kiln.invalid/"  # never fetched: only names of documents
STRICT = "https://strict.kiln.invalid/"


def _utf8_bytes(text):
    return len(text.encode("utf-8", "surrogatepass"))


def _canonical_bytes(value):
    """As RFC 8785 writes an object of strings."""
    return _utf8_bytes(json.dumps(value, ensure_ascii=False, separators=(",", ":")))


# By the type of what they are for.
BYTE_LIMITS = {
    "x-max-bytes": (str, lambda text, limit: _utf8_bytes(text) <= limit, "more than"),
    "x-min-bytes": (str, lambda text, limit: _utf8_bytes(text) >= limit, "less than"),
    "x-max-canonical-bytes": (dict, lambda value, limit: _canonical_bytes(value) <= limit, "more than"),
}


def _byte_limit(kind, fits, text):
    def check(_validator, limit, instance, _schema):
        if isinstance(instance, kind) and not fits(instance, limit):
            yield jsonschema.ValidationError(f"{text} {limit} bytes")

    return check


def _quick_byte_limit(kind, fits, text):
    class Limit:
        def __init__(self, _schema, limit, _path):
            self.limit = limit

        def validate(self, instance):
            if isinstance(instance, kind) and not fits(instance, self.limit):
                raise ValueError(f"{text} {self.limit} bytes")

    return Limit


_Slow = jsonschema.validators.extend(Draft202012Validator, {name: _byte_limit(*limit) for name, limit in BYTE_LIMITS.items()})
_QUICK_LIMITS = {name: _quick_byte_limit(*limit) for name, limit in BYTE_LIMITS.items()}


class Documents:
    """Schemas that refer to each other by their names: {name: document}."""

    def __init__(self, documents):
        # With it, python-jsonschema would go on with its own validator, without the byte limits.
        documents = [(name, {key: value for key, value in document.items() if key != "$schema"}) for name, document in documents.items()]
        self.slow = referencing.Registry().with_resources([(name, DRAFT202012.create_resource(document)) for name, document in documents])
        self.quick = jsonschema_rs.Registry(documents, draft=jsonschema_rs.Draft202012)


class Validator:
    """Of one schema, which may refer to documents."""

    def __init__(self, schema, documents=None):
        registries = ({"registry": documents.quick}, {"registry": documents.slow}) if documents else ({}, {})
        self.quick = jsonschema_rs.Draft202012Validator(schema, validate_formats=True, keywords=_QUICK_LIMITS, **registries[0])
        self.slow = _Slow(schema, format_checker=_Slow.FORMAT_CHECKER, **registries[1])

    def sentences(self, value):
        """What is wrong with value; empty when nothing is."""
        alone = ["/: jsonschema-rs finds it wrong, python-jsonschema does not"]
        try:
            if self.quick.is_valid(value):
                return []
        except ValueError:
            alone = []  # it takes no lone surrogates
        errors = self.slow.iter_errors(value)
        return [f"/{'/'.join(str(part) for part in error.absolute_path)}: {error.message[:400]}" for error in errors] or alone


def _holds_value(schema):
    return isinstance(schema, dict) and ("$ref" in schema or "properties" in schema or "allOf" in schema)


def _strict_value(schema):
    if not isinstance(schema, dict):
        return schema
    _strict_parts(schema)
    if _holds_value(schema) and "additionalProperties" not in schema:
        schema["unevaluatedProperties"] = False
    return schema


def strict_copy(document):
    """What reaches into it says whether the whole is closed."""
    inner = copy.deepcopy(document)
    _strict_parts(inner)
    return inner


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
def _documents():
    documents = {}
    for name, document in schema_files().items():
        documents[OPEN + name] = document
        documents[STRICT + name] = strict_copy(document)
    return Documents(documents)


@functools.cache
def validator(name, strictly=True):
    """For a file below schemas/, with an optional #/pointer."""
    return Validator(reference((STRICT if strictly else OPEN) + name, strictly), _documents())


def reference(name, strictly):
    """A schema: what stands at name, a document's with an optional #/pointer."""
    return {"$ref": urllib.parse.quote(name, safe=":/#~$"), **({"unevaluatedProperties": False} if strictly else {})}


def problems(name, value, strictly=True):
    """What is wrong with value, as sentences; empty when nothing is."""
    return validator(name, strictly).sentences(value)


def problems_inline(place, schema, value):
    """The same by a schema that stands in another file of schemas/, which `place` names: its references are relative to that."""
    return Validator({"$id": OPEN + place, **schema}, _documents()).sentences(value)


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
