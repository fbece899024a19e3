"""Requests that are wrong below the level of fields: bytes, headers, methods, sizes."""

import json
import urllib.parse
import uuid

import pytest
from kiln_testing import contract, raw
from kiln_testing.client import pointers, slug

JSON = {"Content-Type": "application/json"}


PROJECTS = {}  # one of each system, for all of this file's rubbish


def build_path(kiln):
    if kiln.system.folder not in PROJECTS:
        PROJECTS[kiln.system.folder] = kiln.project(agent={"provider": "command", "command": "none"})["id"]
    return f"/projects/{PROJECTS[kiln.system.folder]}/builds"


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b" ",
        b"{",
        b'{"prompt":"x"',
        b'{"prompt":"x"}}',
        b'{"prompt":"x"} trailing',
        b"{'prompt':'x'}",
        b'{"prompt":"x",}',
        b'{"prompt":"x"/**/}',
        b'{"prompt":NaN}',
        b'{"prompt":01}',
        b'{"prompt":1e999}',
        b'{"prompt":"tab\there"}',
        b'{"prompt":"\\x41"}',
        b'{"prompt":"\xff"}',
        b'{"prompt":"\xc0\xaf"}',
        b'{"prompt":"\xed\xa0\x80"}',
        b'{"prompt":"\xf4\x90\x80\x80"}',
        b'{"prompt":"\\u0000"}',
        b'{"prompt":"a\x00b"}',
        b'{"prompt":"\\ud800"}',
        b'{"prompt":"\\udc00\\ud800"}',
        b'\xef\xbb\xbf{"prompt":"x"}',
        '{"prompt":"x"}'.encode("utf-16"),
        b'{"prompt":"x","prompt":"y"}',
        b'{"prompt":"x","metadata":{"a":"1","\\u0061":"2"}}',
        b'{"prompt":"x","metadata":' + b"[" * 40 + b"]" * 40 + b"}",
        b"[" * 100_000,
        b'{"a":' * 50_000,
    ],
    ids=lambda body: repr(body[:28]),
)
def test_a_body_that_is_no_good_json_is_400(kiln, body):
    answer = kiln.api.request("POST", build_path(kiln), content=body, headers=JSON, expect=400)
    assert slug(answer) == "invalid-json"


def test_nesting_of_32_is_read_and_33_is_not(kiln):
    def body(depth):
        return b'{"prompt":"x","unknown":' + b"[" * (depth - 1) + b"]" * (depth - 1) + b"}"

    kiln.api.request("POST", build_path(kiln), content=body(32), headers=JSON, expect=422)
    kiln.api.request("POST", build_path(kiln), content=body(33), headers=JSON, expect=400)


@pytest.mark.parametrize("body", [b"[]", b"null", b"1", b'"x"', b"true"])
def test_a_body_that_is_no_object_is_422(kiln, body):
    answer = kiln.api.request("POST", build_path(kiln), content=body, headers=JSON, expect=422)
    assert pointers(answer) == {"": "type"}


@pytest.mark.parametrize("operation", [o for o in contract.operations() if "requestBody" in o.node], ids=lambda o: o.id)
def test_every_route_with_a_body_names_all_unknown_fields(kiln, operation):
    project = build_path(kiln).split("/")[2]
    path = operation.path.replace("{id}", project).replace("{name}", project)
    body = {"nonsense": 1, "a/b~c": 2}
    answer = kiln.api.request(operation.method, path, body=body, headers={"If-Match": '"1"'}, expect=422)
    assert pointers(answer).items() >= {("/nonsense", "unknown_field"), ("/a~1b~0c", "unknown_field")}


@pytest.mark.parametrize(
    "content_type",
    [
        None,
        "text/plain",
        "application/x-www-form-urlencoded",
        "application/json; charset=utf-16",
        "application/jsonx",
        "multipart/form-data",
        "",
    ],
)
def test_a_body_of_another_type_is_415(kiln, content_type):
    headers = {} if content_type is None else {"Content-Type": content_type}
    kiln.api.request("POST", build_path(kiln), content=b'{"prompt":"x"}', headers=headers, expect=415)


def test_a_coded_body_is_415(kiln):
    headers = JSON | {"Content-Encoding": "gzip"}
    kiln.api.request("POST", build_path(kiln), content=b"\x1f\x8b", headers=headers, expect=415)


@pytest.mark.parametrize("content_type", ["application/json", "Application/JSON; Charset=UTF-8", 'application/json;charset="utf-8"'])
def test_json_by_its_usual_names_is_read(kiln, content_type):
    kiln.api.request("POST", build_path(kiln), content=b"{}", headers={"Content-Type": content_type}, expect=422)


def test_a_body_that_is_too_large_is_413(kiln):
    for size in (1 << 21, 1 << 24):
        body = json.dumps({"prompt": "x" * size}).encode()
        assert slug(kiln.api.request("POST", build_path(kiln), content=body, headers=JSON, expect=413)) == "payload-too-large"


@pytest.mark.parametrize("path", sorted({o.path for o in contract.operations()}))
def test_other_methods_are_405_with_allow(kiln, path):
    concrete = path.replace("{", "").replace("}", "")
    for method in {"GET", "POST", "PUT", "PATCH", "DELETE", "FOO"} - set(contract.methods_of(concrete)):
        answer = kiln.api.request(method, concrete)
        assert answer.status_code == 405 and slug(answer) == "method-not-allowed"


@pytest.mark.parametrize(
    "path",
    ["/", "/nothing", "/projects/", "/projects//builds", "/builds", "/projects/x/builds/y", "/PROJECTS", "/projects/x/y/z/a/b/c/d/e/f/g"],
)
def test_a_path_that_is_no_route_is_404(kiln, path):
    assert slug(kiln.api.get(path, expect=404)) == "not-found"


@pytest.mark.parametrize(
    "query",
    [
        "limit=0",
        "limit=501",
        "limit=-1",
        "limit=x",
        "limit=",
        "limit=1.5",
        "limit=1&limit=2",
        "cursor=",
        "cursor=rubbish",
        "cursor=%00",
        "cursor=%ff",
        # "b0000-01-01T00:00:00.000000Z,0198c1de-7a3b-7c4d-8e5f-0123456789ab": Postgres has no such year.
        "cursor=YjAwMDAtMDEtMDFUMDA6MDA6MDAuMDAwMDAwWiwwMTk4YzFkZS03YTNiLTdjNGQtOGU1Zi0wMTIzNDU2Nzg5YWI",
        "status=done",
        "nonsense=1",
        "limit=99999999999999999999",
    ],
)
def test_a_bad_query_is_400(kiln, query):
    assert slug(kiln.api.get(f"{build_path(kiln)}?{query}", expect=400)) == "bad-request"


def test_a_cursor_of_another_list_is_400(kiln):
    kiln.project()
    cursor = kiln.api.get("/projects?limit=1", expect=200).json()["next_cursor"]
    kiln.api.get(f"{build_path(kiln)}?cursor={urllib.parse.quote(cursor)}", expect=400)


@pytest.mark.parametrize("tag", ["1", 'W/"1"', '"1', "*x", '"2"', '"1" "2"'])
def test_a_wrong_if_match_changes_nothing(kiln, tag):
    project = kiln.project()
    kiln.api.patch(f"/projects/{project['id']}", {"branch": "x"}, headers={"If-Match": tag}, expect=(400, 412))
    assert kiln.api.get(f"/projects/{project['id']}", expect=200).json()["version"] == 1


def test_head_is_get_without_a_body(kiln):
    answer = kiln.api.plain("HEAD", "/me")
    assert answer.status_code == 200 and answer.content == b"" and answer.headers["content-type"] == "application/json"


# -- below HTTP


def exchange(kiln, data):
    return raw.exchange(kiln.system.url, data)


def head(kiln, *lines, method="POST", path=None):
    return raw.head(kiln.system.env["KILN_TOKEN"], method, path or build_path(kiln), "Connection: close", *lines)


def status_of(answer):
    return int(answer.split(b" ", 2)[1]) if answer else None


@pytest.mark.parametrize(
    "data",
    [
        b"\x00" * 100,
        b"GET\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01",
        b"GET / HTTP/9.9\r\n\r\n",
        b"A" * 100_000,
        b"GET /me HTTP/1.1\r\n" + b"X: y\r\n" * 20_000,
    ],
    ids=["zeros", "no path", "tls", "version", "no line", "headers"],
)
def test_what_is_no_http_is_refused_and_the_gateway_lives(kiln, data):
    answer = exchange(kiln, data)
    assert not answer or 400 <= status_of(answer) < 600
    kiln.api.get("/me", expect=200)


@pytest.mark.parametrize(
    "lines",
    [
        ["Content-Length: 5", "Content-Length: 6", "Content-Type: application/json"],
        ["Content-Length: -1", "Content-Type: application/json"],
        ["Content-Length: 99999999999999999999", "Content-Type: application/json"],
        ["Transfer-Encoding: chunked", "Content-Length: 5", "Content-Type: application/json"],
        ["Transfer-Encoding: gzip", "Content-Type: application/json"],
    ],
    ids=["two lengths", "negative", "huge", "both", "coding"],
)
def test_ambiguous_framing_starts_no_build(kiln, lines):
    before = len(kiln.api.pages(build_path(kiln), limit=500))
    status = status_of(exchange(kiln, head(kiln, *lines) + b'{"prompt":"x"}'))
    assert status is None or status >= 400
    assert len(kiln.api.pages(build_path(kiln), limit=500)) == before


def test_a_body_that_ends_early_starts_no_build(kiln):
    before = len(kiln.api.pages(build_path(kiln), limit=500))
    answer = exchange(kiln, head(kiln, "Content-Type: application/json", "Content-Length: 100") + b'{"prompt":"x"}')
    assert not answer or status_of(answer) >= 400
    assert len(kiln.api.pages(build_path(kiln), limit=500)) == before


def test_a_chunked_body_is_read(kiln):
    data = head(kiln, "Content-Type: application/json", "Transfer-Encoding: chunked") + b"e\r\n" + b'{"prompt":"x"}' + b"\r\n0\r\n\r\n"
    assert [answer.status for answer in raw.decided(kiln.system.url, data)] == [202]


@pytest.mark.parametrize("blank", [" ", "\t", "  \t "], ids=["blank", "tab", "many"])
def test_blanks_behind_a_fields_value_are_not_of_it(kiln, blank):
    key, body = uuid.uuid4().hex, b'{"prompt":"x","labels":["nobody-has-this"]}'
    tasks = set()
    for value in (key, key + blank, f'"{key}"{blank}'):
        lines = (f"Content-Type: application/json{blank}", f"Content-Encoding: identity{blank}", f"Content-Length: {len(body)}")
        (answer,) = raw.decided(kiln.system.url, head(kiln, f"Idempotency-Key: {value}", *lines) + body)
        assert answer.status == 202, answer
        tasks.add(json.loads(answer.body)["task_id"])
    assert len(tasks) == 1
    (answer,) = raw.decided(kiln.system.url, raw.head(kiln.system.env["KILN_TOKEN"] + blank, "GET", "/me", "Connection: close"))
    assert answer.status == 200
    kiln.cancel(tasks.pop())


def test_two_authorizations_are_none(kiln):
    (answer,) = raw.decided(kiln.system.url, head(kiln, "Authorization: Bearer another", method="GET", path="/me"))
    assert answer.status == 400 and answer.slug == "bad-request"


@pytest.mark.parametrize(
    "path", ["/../etc/passwd", "/projects/..%2f..%2fetc", "/projects/%2e%2e/builds", "/projects/x%00y", "/projects/%zz", "/projects/%c0%af"]
)
def test_paths_out_of_the_tree_lead_nowhere(kiln, path):
    (answer,) = raw.decided(kiln.system.url, head(kiln, method="GET", path=path))
    assert answer.status in (400, 404)


def test_a_very_long_path_or_header_is_refused(kiln):
    long = "x" * 1_000_000
    for data in (head(kiln, method="GET", path=f"/projects/{long}"), head(kiln, f"X-Long: {long}", method="GET", path="/me")):
        status = status_of(exchange(kiln, data))
        assert status is None or 400 <= status < 500
    kiln.api.get("/me", expect=200)
