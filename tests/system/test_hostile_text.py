"""Text that wants to be something else: a path of the file system, a line of the log, a header field of an answer."""

import json
import urllib.parse
import uuid

import pytest
from kiln_testing import contract, raw
from kiln_testing.kiln import Kiln
from kiln_testing.services import ready_gateway
from kiln_testing.waiting import wait_for

# No text at all: 400 wherever it stands.
MALFORMED = ["%00", "a%00b", "%", "%zz", "%e", "%c0%af", "%e0%80%af", "%f0%80%80%af", "%ed%a0%80", "%f4%90%80%80", "%ff", "\xff", "\xc0\xaf"]
# Text, but no name or id of anything.
MISLEADING = [
    "..",
    "%2e%2e",
    "..%2f..%2f..%2fetc%2fpasswd",
    "%2fetc%2fpasswd",
    "..%5c..%5cwindows",
    "%252e%252e%252f",
    "a%0d%0aSet-Cookie:%20a=b",
    "a%0aX:%20y",
    "%1b%5b2J",
    "%e2%80%ae",
    "'%20or%201=1--",
    "${jndi:ldap:x}",
    "{{7*7}}",
    "a" * 1000,
]
VARIABLES = ("{id}", "{name}", "{taskId}", "{type}", "{path}")


def in_path(operation, text):
    path = operation.path
    for variable in VARIABLES:
        path = path.replace(variable, text)
    assert "{" not in path.replace(text, ""), path
    return path


def ask_all(kiln, requests):
    """The answers to (method, path, fields…) of each, on as few connections as it takes: [(request, answer)]."""
    left, found = list(requests), []
    while left:
        data = b"".join(raw.head(kiln.api.token, method, path, "Content-Length: 0", *fields) for method, path, *fields in left)
        some = raw.answers(raw.exchange(kiln.system.url, data))
        assert 0 < len(some) <= len(left), f"{len(some)} answers to {len(left)} requests"
        pairs = list(zip(left, some, strict=False))
        found += [pair for pair in pairs if not pair[1].is_undecided]
        left = left[len(some) :] + [request for request, answer in pairs if answer.is_undecided]
    return found


OPERATIONS = [operation for operation in contract.operations() if operation.variables]


@pytest.mark.parametrize("operation", OPERATIONS, ids=lambda o: o.id)
def test_a_path_parameter_that_is_no_text_is_400(kiln, operation):
    for request, answer in ask_all(kiln, [(operation.method, in_path(operation, text)) for text in MALFORMED]):
        assert answer.status == 400 and answer.slug == "bad-request", (request, answer)


@pytest.mark.parametrize("operation", OPERATIONS, ids=lambda o: o.id)
def test_a_path_parameter_leads_nowhere_else(kiln, operation):
    for request, answer in ask_all(kiln, [(operation.method, in_path(operation, text)) for text in MISLEADING]):
        # What the body lacks may be told before what the path names.
        assert answer.status in (400, 404, 415, 422, 428), (request, answer)
        assert answer.headers["content-type"] == "application/problem+json"
        usual = {"date", "connection", "server", "cache-control", "content-length", "content-type", "x-request-id"}
        assert set(answer.headers) <= usual, answer.headers


def parameters(place):
    for operation in contract.operations():
        for name in (name for name, where in operation.places.items() if where == place):
            yield operation, name


QUERIES = [pytest.param(operation, name, id=f"{operation.id}-{name}") for operation, name in parameters("query")]
FIELDS = sorted({name for _, name in parameters("header")} | {"X-Request-Id", "traceparent", "Accept", "Accept-Encoding", "Content-Type"})


@pytest.mark.parametrize(("operation", "name"), QUERIES)
def test_a_query_parameter_that_is_no_good_is_400(kiln, operation, name):
    path = in_path(operation, str(uuid.uuid4()))
    requests = [(operation.method, f"{path}?{name}={text}") for text in MALFORMED]
    requests += [(operation.method, f"{path}?{text}=1") for text in MALFORMED + MISLEADING]
    for request, answer in ask_all(kiln, requests):
        assert answer.status == 400 and answer.slug == "bad-request", (request, answer)


@pytest.mark.parametrize(("operation", "name"), QUERIES)
def test_a_query_parameter_leads_nowhere_else(kiln, operation, name):
    path = in_path(operation, str(uuid.uuid4()))
    for request, answer in ask_all(kiln, [(operation.method, f"{path}?{name}={text}") for text in MISLEADING]):
        # A filter may be any text: then what the path names is not there, or nothing fits.
        assert answer.status in (400, 404) or json.loads(answer.body)["items"] == [], (request, answer)


@pytest.mark.parametrize("byte", [b"\x00", b"\x01", b"\x1b", b"\x7f", b"\r", b"\t"])
def test_a_control_byte_in_the_request_line_is_400(kiln, byte):
    data = raw.head(kiln.api.token, "GET", "/projects/a#b").replace(b"#", byte)
    (answer,) = raw.answers(raw.exchange(kiln.system.url, data, shut=False))
    assert answer.status == 400 and answer.headers["connection"] == "close"


# -- header fields of answers


def with_field(name, text):
    """A request of each operation whose answers end, with this field."""
    operations = [operation for operation in contract.operations() if operation.id not in ("streamEvents", "streamProjectEvents")]
    return [(operation.method, in_path(operation, str(uuid.uuid4())), f"{name}: {text}") for operation in operations]


@pytest.mark.parametrize("name", FIELDS)
def test_a_control_byte_in_a_fields_value_is_400(kiln, name):
    for byte in "\x00\x01\x1b\x7f":
        for method, path, field in with_field(name, f"a{byte}b"):
            (answer,) = raw.answers(raw.exchange(kiln.system.url, raw.head(kiln.api.token, method, path, field)))
            assert answer.status == 400, (method, path, field, answer)


@pytest.mark.parametrize("name", FIELDS)
def test_a_fields_value_leads_nowhere_else(kiln, name):
    for text in MISLEADING:
        value = "".join(c for c in urllib.parse.unquote(text, "latin-1") if c >= " ")
        for (method, path, field), answer in ask_all(kiln, with_field(name, value)):
            assert not answer.against_contract(method, path), (method, path, field, answer)
            assert "set-cookie" not in answer.headers and "x" not in answer.headers


@pytest.mark.parametrize("value", ["a b", "a;b", '"', "\xff", "a\tb", "x" * 65, "", "a,b", "<script>", "%0d%0aX: y"])
def test_an_odd_request_id_is_not_repeated(kiln, value):
    (answer,) = raw.answers(raw.exchange(kiln.system.url, raw.head(kiln.api.token, "GET", "/me", f"X-Request-Id: {value}")))
    assert answer.status == 200 and len(answer.headers["x-request-id"]) == 32


@pytest.mark.parametrize("name", ["a\r\nSet-Cookie: a=b", "a\nb", "\x1b[2J", "..", "../x", "a/b", "é", "a\u2028b", "A"])
def test_a_name_that_is_none_gets_into_no_header_field(kiln, name):
    for path, body in ("/projects", {"name": name}), ("/templates", {"name": name, "body": "x"}):
        answer = kiln.api.post(path, body, expect=422)
        assert "location" not in answer.headers and "set-cookie" not in answer.headers


def test_a_link_repeats_only_what_is_well_formed(kiln):
    for _ in range(2):
        kiln.project()
    answer = kiln.api.get("/projects?limit=1&%63ursor=", expect=400)
    assert "link" not in answer.headers
    answer = kiln.api.get("/projects?lim%69t=%31", expect=200)
    target = answer.headers["link"].partition(">")[0].removeprefix("<")
    assert urllib.parse.urlsplit(target).path == "/projects" and "%" not in target


# -- the log


@pytest.fixture(scope="module")
def logged(shared_system):
    """A gateway with a log of its own."""
    with ready_gateway(shared_system, KILN_LOG_FORMAT="json", KILN_LOG_LEVEL="debug", KILN_ACCESS_LOG="true") as gateway:
        yield gateway


def lines_of(gateway):
    return gateway.log.read_bytes().split(b"\n")


EVIL = [
    '"',
    "\\",
    '","level":"error',
    "%0d%0a{}",
    "%1b[31m",
    "\xff\xfe",
    "\xe2\x80\xa8",  # U+2028
    "a=b",
    "'",
    "x" * 5000,
]


def test_each_record_of_the_log_stays_one_line_of_json(kiln, logged):
    token, ids = kiln.api.token, []
    for text in EVIL:
        for method, path, *fields in (
            ("GET", f"/projects/{text}"),
            ("GET", f"/me?{text}"),
            ("PO'ST\"\\{}\xff", "/me"),
            ("GET", "/me", f"User-Agent: {text}", f"Referer: {text}", f"traceparent: 00-{text}-01"),
            ("GET", "/events", f"Last-Event-ID: {text}", "Accept: application/json"),
            ("POST", "/projects", f"Idempotency-Key: {text}", f"Content-Type: {text}", "Content-Length: 0"),
        ):
            ids.append(Kiln.name("log"))
            data = raw.head(token, method, path, f"X-Request-Id: {ids[-1]}", "Connection: close", *fields)
            raw.exchange(logged.url, data)
    last = Kiln.name("last")
    raw.exchange(logged.url, raw.head(token, "GET", "/me", f"X-Request-Id: {last}", "Connection: close"))

    def told():
        whole = lines_of(logged)[:-1]  # the last one may still be written
        return whole if all(any(f'"{one}"'.encode() in line for line in whole) for one in [*ids, last]) else None

    lines = wait_for(told, "all requests to be logged")
    for line in lines:
        record = json.loads(line)
        assert {"time", "level", "service", "msg"} <= set(record), line
        assert line.isascii() or line.decode("utf-8")
        assert not any(byte < 0x20 or byte == 0x7F for byte in line), line
    requests = [json.loads(line) for line in lines if b'"msg":"request"' in line]
    assert all(record["level"] == "info" for record in requests)
    assert sorted(record["request_id"] for record in requests if record["request_id"].startswith("log-")) == sorted(ids)
