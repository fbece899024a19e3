"""What schemathesis cannot know of Kiln. Each entry says why; whatever else it finds is a fault of the gateway or of the contract."""

import fnmatch
import os
import uuid

import schemathesis
from schemathesis.generation.meta import TestPhase

# A run that revokes its own token learns nothing more.
OWN_TOKEN = os.environ["KILN_TEST_TOKEN_ID"]

# ST202, "schema-valid request rejected": a schema says what a request looks like, not what there is.
REFUSALS = {
    # Cursors are opaque: good are those that a list gave, and the pattern shows only their alphabet. Links follow real ones.
    "cursor is not one that this list gave",
    "cursor is of another list, or of this one with other filters",
    # Rules about two parameters, which OpenAPI does not have; their descriptions tell them in words.
    "cursor and after exclude each other",
    "created_after must be before created_before",
}
SLUGS = {
    # Which version is the current one knows who has read it. Links follow real ETags.
    "precondition-failed",
    # Another request has had the key.
    "idempotency-key-reused",
}
# What is wrong with a body: (its place, code).
ERRORS = [
    # Rules about two fields, which the fields' descriptions tell in words.
    ("*/agent/command", "required"),
    ("*/agent/command", "unknown_field"),
    ("*/auto_push", "needs_auto_commit"),
    # A project may have an agent for builds that name none; a patch may change some fields of an agent, when there is one.
    ("*/agent", "required"),
    ("/agent/provider", "required"),
    # What there is: templates, and the variables that they take.
    ("*/template", "unknown_template"),
    ("*/variables/*", "unknown_variable"),
    ("*/variables/*", "missing_variable"),
    # The deployment decides which addresses may be called; the patterns are looser than the grammar of addresses.
    ("*/callback_url", "address_not_allowed"),
    ("*/callback_url", "format"),
    ("*/git_url", "address_not_allowed"),
    ("*/git_url", "format"),
    ("*/network/allow/*", "address_not_allowed"),
    ("*/network/allow/*", "format"),
    # Said in words.
    ("*/name", "reserved_name"),
    ("*/artifacts/*", "pattern"),
    # It depends on the clock, and Postgres keeps no time before the year 1.
    ("/expires_at", "in_the_past"),
    ("/expires_at", "format"),
]


# ST301, "deleted resource still available": the builds of a deleted project stay readable.
KEPT = ("GET /projects/{id}/builds",)


def _is_known(error):
    return any(fnmatch.fnmatchcase(error["pointer"], place) and error["code"] == code for place, code in ERRORS)


def _is_beyond_schemas(answer):
    slug = answer["type"].removeprefix("/problems/")
    if slug == "validation-failed":
        return all(map(_is_known, answer["errors"]))
    if slug == "bad-request":
        return set(answer["detail"].removesuffix(".").split("; ")) <= REFUSALS
    return slug in SLUGS


def _is_valid(case):
    """schemathesis 4.32.5 sends `If-None-Match: 0`, notes that this is not what the schema allows, and calls the request valid all the same."""
    return case.meta is None or all(component.mode.is_positive for component in case.meta.components.values())


@schemathesis.hook
def filter_failure(context, failure, case, response):
    """False: no failure."""
    if failure.code == "ST301":
        return case.operation.label not in KEPT
    return failure.code != "ST202" or (_is_valid(case) and not _is_beyond_schemas(response.json()))


# What makes an answer say nothing of the thing that a link led to, as most values come from nowhere. Other phases look at these.
ASIDE = {"headers": ("If-None-Match", "Prefer", "Range", "Last-Event-ID"), "query": ("after", "created_after", "created_before")}
# These are all right when an answer gave them.
GIVEN = {"headers": ("If-Match",), "query": ("cursor",)}
given = set()
STARTS_BUILD = ("POST /projects/{id}/builds", "POST /project/{name}/build", "POST /project/create-and-build")
# Of a build's body: what names other things, of which most are nowhere.
FOREIGN = ("template", "variables", "continue_from", "callback_url", "network")


def _lead_on(case):
    """A request of a stateful scenario is to succeed, so that there is something to follow."""
    for part in ASIDE:
        values = getattr(case, part) or {}
        for name in ASIDE[part]:
            values.pop(name, None)
        for name in GIVEN[part]:
            if name in values and values[name] not in given:
                del values[name]
    if case.operation.label in STARTS_BUILD and isinstance(case.body, dict):
        build = case.body["build"] if case.operation.label.endswith("create-and-build") else case.body
        for name in FOREIGN:
            build.pop(name, None)
        build["agent"] = {"provider": "command", "command": os.environ["KILN_TEST_COMMAND"]}


@schemathesis.hook
def after_call(context, case, response):
    given.update(response.headers.get("etag", []))
    if response.status_code == 200 and b'"next_cursor"' in response.content:
        given.add(response.json()["next_cursor"])


@schemathesis.hook
def before_call(context, case, kwargs):
    if case.operation.label == "DELETE /tokens/{id}" and case.path_parameters.get("id") == OWN_TOKEN:
        case.path_parameters["id"] = str(uuid.UUID(int=0))
    if case.meta is not None and case.meta.phase.name is TestPhase.STATEFUL and _is_valid(case):
        _lead_on(case)
