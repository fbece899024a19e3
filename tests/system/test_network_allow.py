"""What a project's network.allow names is reached by its agents through their attempt's proxy, and nothing else is."""

import contextlib
import socket
import threading
import uuid

import pytest
from kiln_testing.agents import spec, waiting_spec
from kiln_testing.client import pointers, slug
from kiln_testing.code_agents import DEADLINE, code_agents
from kiln_testing.waiting import wait_for
from model_api.script import Say, run

# An agent that goes by the proxy of its environment, as any client would.
CLIENT = """#!/usr/bin/python3 -SE
import base64, os, socket, sys
from urllib.parse import urlsplit

def proxies():
    return {name: value for name, value in os.environ.items() if name.upper().endswith("_PROXY")}

def tunnel(place, proxy=None):
    "(status line, socket)"
    proxy = urlsplit(proxy or os.environ["HTTPS_PROXY"])
    link = socket.create_connection((proxy.hostname, proxy.port), 120)
    user = base64.b64encode(f"{proxy.username}:{proxy.password}".encode()).decode()
    link.sendall(f"CONNECT {place} HTTP/1.1\\r\\nHost: {place}\\r\\nProxy-Authorization: Basic {user}\\r\\n\\r\\n".encode())
    head = b""
    while b"\\r\\n\\r\\n" not in head:
        part = link.recv(1)
        if not part:
            break
        head += part
    return head.split(b"\\r\\n")[0].decode(), link

def read_all(link):
    got = b""
    while part := link.recv(65536):
        got += part
    return got.decode()

"""
NAMES = {"HTTPS_PROXY", "https_proxy", "HTTP_PROXY", "http_proxy", "NO_PROXY", "no_proxy"}


class Server:
    """Greets whoever connects, answers what it is sent, and knows who is still there."""

    def __init__(self):
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        self.calls, self.gone = 0, 0
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self):
        while True:
            try:
                client, _ = self.listener.accept()
            except OSError:
                return
            self.calls += 1
            threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client):
        with client, contextlib.suppress(OSError):
            client.sendall(b"GREETING ")
            while part := client.recv(65536):
                client.sendall(part)
        self.gone += 1

    def close(self):
        with contextlib.suppress(OSError):
            self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()


@pytest.fixture
def server():
    one = Server()
    yield one
    one.close()


@pytest.fixture(scope="module")
def label(shared_system, shared_tap):
    """Of an executor whose operator lets projects open loopback."""
    name = f"network-{uuid.uuid4().hex[:12]}"
    with shared_system.executor(4, (name,), KILN_NETWORK_ALLOW="127.0.0.0/8"):
        yield name


def run_client(kiln, project, code, labels=()):
    """(the build, what it printed)"""
    task = kiln.post(project, spec(kiln.agents.write(CLIENT + code), labels=list(labels), max_attempts=1))
    build = kiln.wait_end(task)
    return build, build["result"]["output"].splitlines()


def lines(kiln, task):
    return [line["text"] for line in kiln.log(task) if line["stream"] == "kiln" and line["text"].startswith("[network] ")]


# -- what agents reach


def test_what_is_allowed_is_reached_and_nothing_else(kiln, server, label):
    other = Server()
    project, _ = kiln.seeded(network={"allow": [f"localhost:{server.port}"]})
    build, said = run_client(
        kiln,
        project,
        f"""
status, link = tunnel("localhost:{server.port}")
link.sendall(b"hello"); link.shutdown(socket.SHUT_WR)
print(status); print(read_all(link))
for place in ("localhost:{other.port}", "127.0.0.1:{server.port}", "example.org:443", "169.254.169.254:80"):
    status, link = tunnel(place)
    print(status, "|", read_all(link).strip())
for port in ({server.port}, {other.port}):
    print(socket.socket().connect_ex(("127.0.0.1", port)))
try:
    socket.getaddrinfo("example.org", 443)
except OSError:
    print("no resolver")
""",
        [label],
    )
    assert build["status"] == "completed", build["result"]
    refusal = "HTTP/1.1 403 Kiln: this destination is not in the project's network.allow"
    assert said == [
        "HTTP/1.1 200 Connection established", "GREETING hello",
        *[f"{refusal} | {refusal.partition('403 ')[2]}"] * 4, "111", "111", "no resolver",
    ]  # fmt: skip
    assert (server.calls, other.calls) == (1, 0)
    told = lines(kiln, build["task_id"])
    assert len(told) == 5 and any(f"CONNECT localhost:{server.port}: 200 in " in line and "5 bytes up, 14 bytes down" in line for line in told)
    assert any(line.startswith("[network] CONNECT example.org:443: 403 in ") and "network.allow" in line for line in told)
    other.close()


def test_the_proxy_is_in_the_environment_only_where_something_is_allowed(kiln, server, label):
    project, _ = kiln.seeded(network={"allow": [f"localhost:{server.port}"]})
    show = "print(sorted(proxies())); print(os.environ.get('HTTPS_PROXY', '').partition('@')[2], os.environ.get('no_proxy'))\n"
    build, said = run_client(kiln, project, show, [label])
    assert said == [str(sorted(NAMES)), "127.0.0.1:8080 127.0.0.1,localhost,::1"]
    closed, _ = kiln.seeded()
    nothing = show + "print(socket.socket().connect_ex(('127.0.0.1', 8080)))\n"
    assert run_client(kiln, closed, nothing, [label])[1] == ["[]", " None", "111"]


def test_the_proxys_password_is_masked_however_it_is_printed(kiln, server, label):
    project, _ = kiln.seeded(network={"allow": [f"localhost:{server.port}"]})
    show = "user = os.environ['HTTPS_PROXY'].partition('//')[2].partition('@')[0]\nprint(os.environ['HTTPS_PROXY'])\n"
    show += "print('Basic', base64.b64encode(user.encode()).decode())\nprint(len(user) > len('kiln:kiln-') + 8)\n"
    build, said = run_client(kiln, project, show, [label])
    assert said == ["http://kiln:[masked]@127.0.0.1:8080", "Basic [masked]", "True"]
    assert kiln.log_text(build["task_id"]).count("[masked]") == 2


def test_a_private_address_needs_the_operators_word(kiln, server):
    project, _ = kiln.seeded(network={"allow": [f"localhost:{server.port}"]})
    build, said = run_client(kiln, project, f"print(tunnel('localhost:{server.port}')[0])\n")
    assert said == ["HTTP/1.1 403 Kiln: localhost has no public address, and the operator (KILN_NETWORK_ALLOW) does not allow others"]
    assert server.calls == 0 and "KILN_NETWORK_ALLOW" in lines(kiln, build["task_id"])[0]


def test_without_a_sandbox_it_is_the_same_proxy(kiln, server, shared_system):
    label = f"network-{uuid.uuid4().hex[:12]}"
    with shared_system.executor(1, (label,), KILN_NETWORK_ALLOW="localhost", KILN_SANDBOX="none"):
        project, _ = kiln.seeded(network={"allow": [f"localhost:{server.port}"]})
        _, said = run_client(
            kiln,
            project,
            f"""
print(tunnel("localhost:{server.port}")[0])
print(tunnel("localhost:{server.port}", os.environ["HTTPS_PROXY"].replace("kiln-", "kiln_"))[0].partition(" Kiln")[0])
""",
            [label],
        )
    assert said == ["HTTP/1.1 200 Connection established", "HTTP/1.1 407"]
    assert server.calls == 1


def test_tunnels_end_with_the_attempt(kiln, server, label):
    project, _ = kiln.seeded(network={"allow": [f"localhost:{server.port}"]})
    agent = CLIENT + f"status, link = tunnel('localhost:{server.port}'); print(status, flush=True)\nimport time\nwhile True: time.sleep(600)\n"
    task = kiln.post(project, spec(kiln.agents.write(agent), labels=[label], max_attempts=1))
    wait_for(lambda: server.calls == 1, "the tunnel")
    assert server.gone == 0
    kiln.cancel(task)
    assert kiln.wait_end(task)["status"] == "cancelled"
    wait_for(lambda: server.gone == 1, "the tunnel's end")


@pytest.mark.timeout(2 * DEADLINE)
def test_the_real_agents_work_and_their_commands_reach_what_is_allowed(kiln, shared_system, server):
    """Their own requests, to the model, do not go by CONNECT."""
    command = f"curl -sS --max-time 60 --noproxy none --proxytunnel --http0.9 --data hello http://localhost:{server.port}/ > answer.txt"
    steps = (run(command), run("cat answer.txt"), Say("Reached."))
    with code_agents(shared_system, KILN_NETWORK_ALLOW="127.0.0.0/8") as lab:
        project, _ = kiln.seeded(network={"allow": [f"localhost:{server.port}"]})
        tasks = [lab.post(kiln, project, provider, *steps)[0] for provider in ("claude-code", "opencode")]
        builds = [kiln.wait_end(task, DEADLINE) for task in tasks]
    for build in builds:
        assert build["status"] == "completed", build["result"]
        assert build["result"]["output"].strip().endswith("Reached.")
        assert any(f"CONNECT localhost:{server.port}: 200 in " in line for line in lines(kiln, build["task_id"]))
    assert server.calls == 2


# -- the project's field


def test_a_project_shows_what_it_allows_and_its_builds_what_they_got(kiln):
    project = kiln.project()
    assert project["network"] == {"allow": []}
    path, allow = f"/projects/{project['id']}", ["registry.example.org:443", "*.example.org:8443", "192.0.2.7:80", "[2606:4700::1]:443"]
    answer = kiln.api.patch(path, {"network": {"allow": allow[:3:2] + [allow[3]]}}, headers={"If-Match": kiln.etag(path)}, expect=422)
    assert pointers(answer) == {"/network/allow/1": "address_not_allowed"}
    allow.pop(2)
    changed = kiln.api.patch(path, {"network": {"allow": allow}}, headers={"If-Match": kiln.etag(path)}, expect=200).json()
    assert changed["network"] == {"allow": allow} == kiln.api.get(path, expect=200).json()["network"]
    task = kiln.waiting(project)
    assert kiln.build(task)["spec"]["network"] == {"allow": allow}
    again = kiln.api.patch(path, {"network": {"allow": None}}, headers={"If-Match": kiln.etag(path)}, expect=200).json()
    assert again["network"] == {"allow": []}
    kiln.cancel(task)
    kiln.wait_end(task)
    retry = kiln.api.post(f"/builds/{task}/retry", expect=202).json()["task_id"]
    assert kiln.build(retry)["spec"] == kiln.build(task)["spec"] | {"network": {"allow": []}}  # the project's as it is now
    kiln.cancel(retry)


@pytest.mark.parametrize(
    "allow, wrong",
    [
        (["example.org"], "/network/allow/0"),
        (["example.org:443", "*.org:443"], "/network/allow/1"),
        (["https://example.org:443"], "/network/allow/0"),
        (["example.org:99999"], "/network/allow/0"),
        (["*:443"], "/network/allow/0"),
        ([443], "/network/allow/0"),
        (["127.0.0.1:80"], "/network/allow/0"),
        (["2130706433:80"], "/network/allow/0"),
        (["[::ffff:10.0.0.1]:80"], "/network/allow/0"),
        (["example.org:443", "example.org:443"], "/network/allow"),
        ([f"a{n}.example.org:443" for n in range(65)], "/network/allow"),
        ([f"{'a' * 300}:443"], "/network/allow/0"),
        ("example.org:443", "/network/allow"),
    ],
)
def test_what_is_no_list_of_destinations_is_422_and_named(kiln, allow, wrong):
    body = {"name": kiln.name(), "network": {"allow": allow}}
    (error,) = kiln.api.post("/projects", body, expect=422).json()["errors"]
    assert error["pointer"] == wrong
    (error,) = kiln.api.post("/project/create-and-build", {"project": body, "build": spec("none")}, expect=422).json()["errors"]
    assert error["pointer"] == f"/project{wrong}"


def test_unknown_fields_of_a_network_are_422(kiln):
    answer = kiln.api.post("/projects", {"name": kiln.name(), "network": {"allow": [], "deny": []}}, expect=422)
    assert "/network/deny" in pointers(answer)


def test_create_and_build_uses_a_project_that_allows_the_same(kiln):
    body = {"name": kiln.name(), "network": {"allow": ["example.org:443"]}}
    build = waiting_spec()
    first = kiln.api.post("/project/create-and-build", {"project": body, "build": build}, expect=202).json()
    assert first["project"]["network"] == body["network"]
    second = kiln.api.post("/project/create-and-build", {"project": body, "build": build}, expect=202).json()
    other = body | {"network": {"allow": ["example.org:444"]}}
    answer = kiln.api.post("/project/create-and-build", {"project": other, "build": build}, expect=409)
    assert slug(answer) == "project-exists" and "/project/network" in pointers(answer)
    for task in (first["task_id"], second["task_id"]):
        kiln.cancel(task)


def test_what_a_project_allows_is_in_its_events(kiln):
    project = kiln.project(network={"allow": ["example.org:443"]})

    def created():
        return next((r for r in kiln.tap.records if r.topic == "kiln.project.events" and r.key == project["id"]), None)

    assert kiln.tap.wait(created, "project.created").data["project"]["network"] == {"allow": ["example.org:443"]}
