"""Where a request comes from, when proxies stand between: what the audit, the access log and the limit of guesses say."""

import json
import secrets

import httpx
import pytest
from kiln_testing import raw
from kiln_testing.agents import waiting_spec
from kiln_testing.client import slug
from kiln_testing.services import ready_gateway, start_beside
from kiln_testing.waiting import wait_for

PROXY = "127.0.0.1"
STRANGER = "127.0.0.2"  # an address of this machine too
INNER = "10.1.2.3"
FAILURES = 5


@pytest.fixture(scope="module")
def behind(shared_system):
    """A gateway behind two proxies: the one that connects to it, and those of 10/8 in front of that."""
    variables = {"KILN_TRUSTED_PROXIES": f"{PROXY}, 10.0.0.0/8", "KILN_MAX_AUTH_FAILURES": str(FAILURES), "KILN_LOG_FORMAT": "json"}
    with ready_gateway(shared_system, **variables) as gateway:
        yield gateway


@pytest.fixture(name="bot")
def bot_fixture(kiln, behind):
    """A client whose writes are its own; (at the gateway, the id of its token)."""
    token = kiln.token(["projects:read", "projects:write", "builds:read", "builds:write"])
    return kiln.at(behind, token), token.id


def come_from(client, address):
    """The same client, whose connections come from this address."""
    fields = {"Authorization": f"Bearer {client.token}"}
    client.http = httpx.Client(base_url=client.url, headers=fields, timeout=client.timeout, transport=httpx.HTTPTransport(local_address=address))
    return client


def write_all(kiln, client, **fields):
    """A write to Postgres, a build and a cancel, each with these fields; their request ids."""
    ids = [kiln.name("at") for _ in range(3)]
    headers = [{"X-Request-Id": one, **fields} for one in ids]
    project = client.post("/projects", {"name": kiln.name()}, headers=headers[0], expect=201).json()
    build = waiting_spec()
    task = client.post(f"/projects/{project['id']}/builds", build, headers=headers[1], expect=202).json()["task_id"]
    client.post(f"/builds/{task}/cancel", headers=headers[2], expect=202)
    return ids


def audited(kiln, token, ids):
    """{the addresses in the audit of these requests}, once all are there."""

    def found():
        items = [item for item in kiln.api.pages("/audit", token=token) if item["request_id"] in ids]
        return {item["address"] for item in items} if len(items) >= len(ids) else None

    return wait_for(found, "the writes in the audit")


def logged(gateway, ids):
    """{the addresses in the access log of these requests}, once all are there."""

    def found():
        whole = gateway.log.read_bytes().split(b"\n")[:-1]  # the last one may still be written
        lines = [line for line in map(json.loads, whole) if line["msg"] == "request" and line["request_id"] in ids]
        return {line["address"] for line in lines} if {line["request_id"] for line in lines} == set(ids) else None

    return wait_for(found, "the requests in the log")


def test_a_trusted_proxy_is_believed_and_what_the_client_wrote_before_is_not(kiln, behind, bot):
    client, token = bot
    ids = write_all(kiln, client, **{"X-Forwarded-For": f"203.0.113.9, 198.51.100.7:40123, {INNER}"})
    assert audited(kiln, token, ids) == {"198.51.100.7"}
    assert logged(behind, ids) == {"198.51.100.7"}


def test_the_header_of_anybody_else_is_ignored(kiln, behind, bot):
    client, token = bot
    ids = write_all(kiln, come_from(client, STRANGER), **{"X-Forwarded-For": "198.51.100.7"})
    assert audited(kiln, token, ids) == {STRANGER}
    assert logged(behind, ids) == {STRANGER}


def test_a_gateway_that_trusts_nobody_ignores_the_header(kiln):
    client = kiln.token(["projects:read", "projects:write", "builds:read", "builds:write"])
    ids = write_all(kiln, client, **{"X-Forwarded-For": "198.51.100.7"})
    assert audited(kiln, client.id, ids) == {"127.0.0.1"}


def ask(kiln, gateway, *lines):
    """A GET with these lines in its head: its request id."""
    one = kiln.name("at")
    [answer] = raw.answers(raw.exchange(gateway.url, raw.head(kiln.api.token, "GET", "/me", f"X-Request-Id: {one}", "Connection: close", *lines)))
    assert answer.status == 200
    return one


@pytest.mark.parametrize(
    ("lines", "client"),
    [
        ([], PROXY),
        (["X-Forwarded-For: 203.0.113.9", "x-forwarded-for: [2001:db8::7]:443", f"X-FORWARDED-FOR: {INNER}"], "2001:db8::7"),
        (["X-Forwarded-For: 203.0.113.9", "X-Forwarded-For: "], "203.0.113.9"),
        (["Forwarded: for=203.0.113.9", "X-Real-IP: 203.0.113.9", "X_Forwarded_For: 203.0.113.9"], PROXY),
        ([f'X-Forwarded-For: 203.0.113.9, ","level":"error, {INNER}'], INNER),
        (['X-Forwarded-For: 203.0.113.9\t\xff\xfe=\\'], PROXY),
        ([f"X-Forwarded-For: 198.51.100.7{', 10.0.0.9' * 5000}"], "10.0.0.9"),
    ],
    ids=["none", "several lines", "an empty line", "other headers", "an injection", "bytes that are no text", "5,000 proxies"],
)
def test_the_log_tells_the_client_of_a_list(kiln, behind, lines, client):
    assert logged(behind, [ask(kiln, behind, *lines)]) == {client}


def guess(kiln, gateway, list_of_addresses, peer=PROXY):
    client = come_from(kiln.at(gateway).with_token(secrets.token_urlsafe(32)), peer)
    return client.get("/me", headers={"X-Forwarded-For": list_of_addresses}, expect=(401, 429))


def guess_too_much(kiln, gateway, made, peer=PROXY):
    """Guesses, each with the next list that `made` makes, until they are refused."""
    wait_for(lambda: guess(kiln, gateway, made(), peer).status_code == 429, "guesses to be too many")


def fresh_address():
    return f"2001:db8:{secrets.token_hex(2)}:{secrets.token_hex(2)}::1"


def test_guesses_are_counted_by_the_client_behind_the_proxy(kiln, behind):
    client = fresh_address()
    guess_too_much(kiln, behind, lambda: f"{fresh_address()}, {client}")  # whatever it writes before
    assert slug(guess(kiln, behind, fresh_address())) == "unauthorized"


def test_who_is_not_trusted_has_one_address_to_guess_from(kiln, behind):
    guess_too_much(kiln, behind, fresh_address, peer=STRANGER)


@pytest.mark.parametrize("entry", ["10.0.0.1/8", "localhost", "10", "192.0.2.1:80"])
def test_an_entry_that_names_no_network_ends_the_start_with_its_name(shared_system, entry):
    gateway = start_beside(shared_system, "gateway", KILN_LISTEN="127.0.0.1:0", KILN_TRUSTED_PROXIES=f"127.0.0.1,{entry}")
    try:
        assert gateway.process.wait(60) == 2
    finally:
        gateway.end()
    assert f'KILN_TRUSTED_PROXIES: bad entry "{entry}"' in gateway.log.read_text(encoding="utf-8").replace("\\", "")
