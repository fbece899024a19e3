"""Bodies whose fields break the contract: each is told by pointer, all at once."""

import json
import uuid

import pytest
from kiln_testing import places
from kiln_testing.agents import WAITS
from kiln_testing.client import pointers
from kiln_testing.services import ready_gateway

AGENT = {"provider": "command", "command": "none"}


PROJECTS = {}  # one of each system, for all of this file


def project_of(kiln):
    if kiln.system.folder not in PROJECTS:
        PROJECTS[kiln.system.folder] = kiln.project(agent=AGENT)["id"]
    return PROJECTS[kiln.system.folder]


def post_text(client, path, text, headers=None):
    """A body as it is spelled here."""
    return client.post(path, content=text.encode(), headers={"Content-Type": "application/json"} | (headers or {}), expect=422)


BAD = [
    ({"prompt": ""}, "/prompt"),
    ({"prompt": "x" * 262145}, "/prompt"),
    ({"prompt": "ä" * 131073}, "/prompt"),
    ({"prompt": 1}, "/prompt"),
    ({"prompt": None}, "/prompt"),
    ({"Prompt": "x"}, "/Prompt"),
    ({"template": "A"}, "/template"),
    ({"template": "a@0"}, "/template"),
    ({"template": "a@"}, "/template"),
    ({"template": "a@b"}, "/template"),
    ({"template": "a@99999999999"}, "/template"),
    ({"template": "../a"}, "/template"),
    ({"variables": {"a": 1}}, "/variables/a"),
    ({"variables": {"a b": "x"}}, "/variables/a b"),
    ({"auto_commit": "yes"}, "/auto_commit"),
    ({"auto_commit": 1}, "/auto_commit"),
    ({"auto_commit": "yes", "auto_push": True}, "/auto_commit"),
    ({"callback_url": "ftp://example.org/"}, "/callback_url"),
    ({"callback_url": "example.org"}, "/callback_url"),
    ({"callback_url": "http://"}, "/callback_url"),
    ({"callback_url": "http://10.0.0.1/x"}, "/callback_url"),
    ({"callback_url": "http://169.254.169.254/latest/meta-data"}, "/callback_url"),
    ({"callback_url": "http://[::ffff:10.0.0.1]/"}, "/callback_url"),
    ({"callback_url": "http://0x0a000001/"}, "/callback_url"),
    ({"callback_url": "http://user:secret@example.org/"}, "/callback_url"),
    ({"callback_url": "http://example.org/" + "x" * 2048}, "/callback_url"),
    ({"callback_url": "http://example.org/a b"}, "/callback_url"),
    ({"callback_url": "http://example.org/\r\nX: y"}, "/callback_url"),
    ({"agent": {}}, "/agent/provider"),
    ({"agent": {"provider": "bash"}}, "/agent/provider"),
    ({"agent": {"provider": "comand", "command": "none"}}, "/agent/provider"),
    ({"agent": {"provider": "command"}}, "/agent/command"),
    ({"agent": {"provider": "command", "command": "../../bin/sh"}}, "/agent/command"),
    ({"agent": {"provider": "command", "command": "/bin/sh"}}, "/agent/command"),
    ({"agent": {"provider": "command", "command": "a.sh"}}, "/agent/command"),
    ({"agent": {"provider": "command", "command": "none", "args": []}}, "/agent/args"),
    ({"agent": AGENT | {"max_turns": 0}}, "/agent/max_turns"),
    ({"agent": AGENT | {"budget_usd": -1}}, "/agent/budget_usd"),
    ({"branch": ""}, "/branch"),
    ({"branch": "-x"}, "/branch"),
    ({"branch": "a..b"}, "/branch"),
    ({"branch": "a b"}, "/branch"),
    ({"branch": "refs/heads/a:b"}, "/branch"),
    ({"branch": "/a"}, "/branch"),
    ({"branch": "a/"}, "/branch"),
    ({"branch": ".a"}, "/branch"),
    ({"branch": "a/.b"}, "/branch"),
    ({"branch": "a.lock"}, "/branch"),
    ({"branch": "a@{0}"}, "/branch"),
    ({"branch": "a~1"}, "/branch"),
    ({"commit_message": ""}, "/commit_message"),
    ({"commit_message": "x" * 65537}, "/commit_message"),
    ({"priority": -1}, "/priority"),
    ({"priority": 10}, "/priority"),
    ({"priority": 5.5}, "/priority"),
    ({"priority": "5"}, "/priority"),
    ({"labels": "gpu"}, "/labels"),
    ({"labels": ["GPU"]}, "/labels/0"),
    ({"labels": ["a", "a"]}, "/labels"),
    ({"labels": [f"l{n}" for n in range(33)]}, "/labels"),
    ({"timeout_s": 0}, "/timeout_s"),
    ({"timeout_s": 86401}, "/timeout_s"),
    ({"timeout_s": 1e300}, "/timeout_s"),
    ({"queue_timeout_s": 604801}, "/queue_timeout_s"),
    ({"max_attempts": 11}, "/max_attempts"),
    ({"artifacts": ["/etc/passwd"]}, "/artifacts/0"),
    ({"artifacts": [""]}, "/artifacts/0"),
    ({"artifacts": ["../x"]}, "/artifacts/0"),
    ({"artifacts": ["ok", "a/.git/config"]}, "/artifacts/1"),
    ({"artifacts": ["a//b"]}, "/artifacts/0"),
    ({"artifacts": ["./a"]}, "/artifacts/0"),
    ({"artifacts": ["!a"]}, "/artifacts/0"),
    ({"artifacts": ["a[b"]}, "/artifacts/0"),
    ({"artifacts": ["a\\"]}, "/artifacts/0"),
    ({"artifacts": ["/".join("a" * 61)]}, "/artifacts/0"),
    ({"artifacts": ["x" * 513]}, "/artifacts/0"),
    ({"artifacts": [f"a{n}" for n in range(65)]}, "/artifacts"),
    ({"metadata": {"a": None}}, "/metadata/a"),
    ({"metadata": {"a": "x" * 4097}}, "/metadata/a"),
    ({"metadata": {f"k{n}": "" for n in range(65)}}, "/metadata"),
    ({"metadata": {f"k{n}": "x" * 4096 for n in range(16)}}, "/metadata"),
    ({"metadata": {f"k{n}": "\x01" * 1100 for n in range(10)}}, "/metadata"),  # six bytes each, as it is written
    ({"continue_from": "x"}, "/continue_from"),
    ({"on_red": "explode"}, "/on_red"),
]


@pytest.mark.parametrize("fields, pointer", BAD, ids=lambda value: str(value)[:48])
def test_a_bad_field_is_422_by_pointer(kiln, fields, pointer):
    body = {"prompt": "x", **WAITS} | fields
    (error,) = kiln.api.post(f"/projects/{project_of(kiln)}/builds", body, expect=422).json()["errors"]
    assert error["pointer"] == pointer, error


def test_everything_that_is_wrong_is_told_at_once(kiln):
    body = {
        "promt": "x",
        "priority": 99,
        "labels": ["A"],
        "agent": {"provider": "x", "y": 1},
        "callback_url": "http://10.0.0.1/",
        "auto_push": True,
    }
    answer = kiln.api.post(f"/projects/{project_of(kiln)}/builds", body, expect=422)
    expected = {"/prompt", "/promt", "/priority", "/labels/0", "/agent/provider", "/agent/y"}
    assert set(pointers(answer)) >= expected


GOOD = [
    {"prompt": "x" * 262144},
    {"prompt": "\U0001f600" * 65536},
    {"prompt": "\n\t \u2028\ufeff\x7f"},
    {"branch": "feature/a.b-c_d/e+f#1"},
    {"branch": "x" * 200},
    {"priority": 0},
    {"priority": 9},
    {"priority": 5.0},
    {"max_attempts": 10},
    {"metadata": {f"k{n}": "x" * 4096 for n in range(15)}},
    {"artifacts": ["**/*.xml", "a b/ä?.txt", "dist/", "[!a-z]*", "\\!x"]},
    {"callback_url": None, "branch": None, "commit_message": None, "template": None, "agent": None, "continue_from": None},
    {"callback_url": "https://example.org:8443/a?b=c#d"},
]


@pytest.mark.parametrize("fields", GOOD, ids=lambda value: str(value)[:48])
def test_what_the_contract_allows_is_accepted_and_kept(kiln, fields):
    body = {"prompt": "x", **WAITS} | fields
    answer = kiln.api.post(f"/projects/{project_of(kiln)}/builds", body, expect=202)
    spec = kiln.build(answer.json()["task_id"])["spec"]
    for name, value in fields.items():
        if name != "agent":
            assert spec[name] == value, name


def test_null_is_as_good_as_nothing(kiln):
    path = f"/projects/{project_of(kiln)}/builds"
    names = set(json.loads((places.ROOT / "schemas" / "build-spec.json").read_text(encoding="utf-8"))["properties"]) - {"prompt"}
    tasks = [kiln.api.post(path, {"prompt": "x"} | fields, expect=202).json()["task_id"] for fields in ({}, dict.fromkeys(names))]
    without, nulls = (kiln.build(task)["spec"] for task in tasks)
    assert without == nulls


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"branch": "a..b"}, '"a..b" is not a branch that Kiln takes'),
        ({"labels": ["A"]}, '"A" is not a label'),
        ({"template": "A"}, '"A" is not a template\'s name'),
        ({"continue_from": "x"}, '"x" is not a UUID'),
    ],
    ids=lambda value: str(value)[:24],
)
def test_what_a_pattern_asks_for_is_said_in_words(kiln, fields, words):
    answer = kiln.api.post(f"/projects/{project_of(kiln)}/builds", {"prompt": "x"} | fields, expect=422)
    told = next(error["detail"] for error in answer.json()["errors"])
    assert told.startswith(words) and "^" not in told


LARGE = 1048576
GROWING = "[1e20" + ",1e20" * (LARGE // 5 - 64) + "]"  # each is 21 digits when it is written


@pytest.mark.parametrize("project", ['{"network":{"allow":!}}', '{"metadata":{"a":!}}', '{"agent":{"provider":"command","max_turns":!}}'])
def test_numbers_that_grow_when_they_are_written_are_422(kiln, project):
    post_text(kiln.api, "/project/create-and-build", f'{{"project":{project.replace("!", GROWING)},"build":{{}}}}')


@pytest.mark.parametrize("path", ["/project/create-and-build", "/projects/{}/builds"])
def test_the_largest_body_that_can_be_allowed_is_hashed_as_it_is_written(kiln, path):
    body = f'{{"project":{{"name":"{kiln.name()}"}},"build":[{",".join([GROWING] * 4)}]}}'
    with ready_gateway(kiln.system, KILN_MAX_BODY_BYTES=str(4 * LARGE)) as gateway:
        post_text(kiln.at(gateway), path.format(project_of(kiln)), body, headers={"Idempotency-Key": str(uuid.uuid4())})


BAD_URLS = [
    "file:///etc/passwd",
    "ext::sh -c id",
    "/srv/git/x.git",
    "../x",
    "git://example.org/x.git",
    "git@example.org:x.git",
    "-oProxyCommand=id",
    "ssh://-oProxyCommand=id/x",
    "https://user:secret@example.org/x.git",
    "https://10.0.0.1/x.git",
    "https://169.254.169.254/x.git",
    "https://[fd00::1]/x.git",
    "http://example.org/x.git",
    "https://",
    "https://example.org/x\ny",
    "",
]


@pytest.mark.parametrize("url", BAD_URLS)
def test_a_git_url_that_is_not_allowed_is_422(kiln, url):
    (error,) = kiln.api.post("/projects", {"name": kiln.name(), "git_url": url}, expect=422).json()["errors"]
    assert error["pointer"] == "/git_url", error


@pytest.mark.parametrize(
    "url", ["https://example.org/x.git", "https://example.org:8443/a/b", "ssh://git@example.org/x.git", "ssh://example.org:22/x"]
)
def test_a_git_url_that_is_allowed_is_kept(kiln, url):
    assert kiln.project(git_url=url)["git_url"] == url


BAD_TOKENS = [
    ({"scopes": []}, "/scopes"),
    ({"scopes": ["root"]}, "/scopes/0"),
    ({"scopes": ["admin", "admin"]}, "/scopes"),
    ({"name": ""}, "/name"),
    ({"name": "x" * 129}, "/name"),
    ({"projects": ["A"]}, "/projects/0"),
    ({"projects": []}, "/projects"),
    ({"expires_at": "tomorrow"}, "/expires_at"),
    ({"expires_at": "2030-02-30T00:00:00Z"}, "/expires_at"),
    ({"max_priority": 10}, "/max_priority"),
]


@pytest.mark.parametrize("fields, pointer", BAD_TOKENS, ids=str)
def test_a_bad_token_is_422_by_pointer(kiln, fields, pointer):
    answer = kiln.api.post("/tokens", {"name": "x", "scopes": ["builds:read"]} | fields, expect=422)
    assert set(pointers(answer)) == {pointer}


BAD_TEMPLATES = [
    ({"text": ""}, "/text"),
    ({"text": "x" * 262145}, "/text"),
    ({"name": "A"}, "/name"),
    ({"defaults": {"a": 1}}, "/defaults/a"),
    ({"defaults": []}, "/defaults"),
]


@pytest.mark.parametrize("fields, pointer", BAD_TEMPLATES, ids=lambda value: str(value)[:40])
def test_a_bad_template_is_422_by_pointer(kiln, fields, pointer):
    answer = kiln.api.post("/templates", {"name": kiln.name(), "text": "x"} | fields, expect=422)
    assert set(pointers(answer)) == {pointer}
