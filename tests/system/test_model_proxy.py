"""Between an agent and its model stands the executor's proxy: the agent never has the key, reaches the model's API only, and is
held to its limits, whatever it says of itself.

The agent is a stand-in for Claude Code that does what its prompt says in Python (kiln_testing/stand_in_agent.py).
"""

import json
import pathlib
import shutil
import ssl
import subprocess
import textwrap
import uuid

import kiln_testing
import pytest
from kiln_testing.agents import Gate
from kiln_testing.code_agents import ANSWER_USD, code_agents
from kiln_testing.waiting import wait_for
from model_api.script import Cut, Fail, Finish, Redirect, Reflect, Say, Stall
from model_api.server import Model

STAND_IN = pathlib.Path(kiln_testing.__file__).with_name("stand_in_agent.py")
DEADLINE = 400.0
REFUSED = [
    ("GET", "/v1/messages"),
    ("POST", "/v1/messages/"),
    ("POST", "/v1/messages/../files"),
    ("POST", "/v1/%6dessages"),
    ("POST", "/v1/messages/batches"),
    ("POST", "/v1/chat/completions"),
    ("POST", "/v1/files"),
    ("GET", "/healthz"),
    ("DELETE", "/v1/models/claude-x"),
    ("POST", "/v1/messages?key=%2f"),
    ("POST", "http://127.0.0.1:80/v1/messages"),
]


class Lab:
    def __init__(self, agents, project):
        self.agents = agents
        self.project = project
        self.model = agents.model
        self.key = agents.key

    def post(self, kiln, code, **fields):
        """A build of the stand-in that runs this code; the task."""
        agent = {"provider": "claude-code", **fields.pop("agent", {})}
        prompt = textwrap.dedent(code).strip()
        return kiln.post(self.project, {"prompt": prompt, "agent": agent, "labels": [self.agents.label], "max_attempts": 1, **fields})

    def run(self, kiln, code, **fields):
        """(build, what it said)"""
        task = self.post(kiln, code, **fields)
        build = kiln.wait_end(task, DEADLINE)
        return build, said(kiln, task)

    def asked(self, mark):
        return self.model.asked(mark)


def said(kiln, task):
    return [line["text"].removeprefix("said: ") for line in kiln.log(task) if line["text"].startswith("said: ")]


def calls(kiln, task):
    """The access lines."""
    return [line["text"] for line in kiln.log(task) if line["stream"] == "kiln" and line["text"].startswith("[model API] ")]


@pytest.fixture(scope="module")
def place(shared_system):
    folder = pathlib.Path(shared_system.env["KILN_STATE_DIR"]).parent / f"stand-in-{uuid.uuid4().hex[:12]}"
    folder.mkdir()
    shared_system.give(folder, 0o755)
    program = folder / "claude"
    shutil.copyfile(STAND_IN, program)
    shared_system.give(program, 0o755)
    yield program
    shutil.rmtree(folder)


def stand_ins(system, program, **variables):
    # Who is asked to end has the time to say what it has seen: no stand-in goes on for ever.
    return code_agents(system, KILN_CLAUDE_CODE_PROGRAM=str(program), KILN_OPENCODE_PROGRAM="", KILN_KILL_GRACE_MS="60000", **variables)


@pytest.fixture(scope="module")
def agents(shared_system, shared_tap, place):
    # Gates are among the command agents.
    with stand_ins(shared_system, place, KILN_SANDBOX="bwrap", KILN_SANDBOX_READABLE=shared_system.env["KILN_COMMAND_AGENTS_DIR"]) as agents:
        yield agents


@pytest.fixture(scope="module")
def projects():
    return []


@pytest.fixture
def project(projects, kiln):
    if not projects:
        projects.append(kiln.seeded()[0])
    return projects[0]


@pytest.fixture
def lab(agents, project):
    return Lab(agents, project)


@pytest.fixture
def unconfined_lab(shared_system, shared_tap, place, project):
    with stand_ins(shared_system, place, KILN_SANDBOX="none") as agents:
        yield Lab(agents, project)


# -- the key


def look_for_the_key(kiln, lab, folders):
    """An agent that has just used its model looks through these folders, what it may read in /proc, and its environment; then through
    the same with a file that has the key."""
    backwards = lab.key[::-1]
    build, lines = lab.run(
        kiln,
        f"""
        import glob
        key = {backwards!r}[::-1].encode()
        say(ask({lab.model.script(Say("hello"))!r})[0])

        def files():
            for top in {folders}:
                for folder, _, names in os.walk(top):
                    yield from (path for path in (os.path.join(folder, name) for name in names) if os.path.isfile(path))
            for name in ("environ", "cmdline", "maps", "status"):
                yield from glob.glob(f"/proc/[0-9]*/{{name}}")

        def has_key(path):
            try:
                with open(path, "rb") as file:
                    return key in file.read()
            except OSError:
                return False

        def found():
            return sorted(path for path in files() if has_key(path)) + [name for name, value in os.environ.items() if key in value.encode()]

        say(found())
        planted = os.path.join(os.environ["HOME"], "planted")
        with open(planted, "wb") as file:
            file.write(b"x" + key)
        say(found() == [planted])
        """,
    )
    assert build["status"] == "completed", build["result"]
    assert lines == ["200", "[]", "True"]
    log = kiln.log_text(build["task_id"])
    assert lab.key not in log and "[masked]" not in log and lab.key not in json.dumps(build)
    assert lab.key not in lab.agents.executor.log_path.read_text(errors="replace")


def test_the_key_is_nowhere_in_the_sandbox(kiln, lab):
    everything = "[f'/{name}' for name in os.listdir('/') if name not in ('dev', 'proc', 'usr') and not os.path.islink(f'/{name}')]"
    look_for_the_key(kiln, lab, everything)


def test_without_a_sandbox_the_key_is_not_in_what_is_given_to_the_agent(kiln, unconfined_lab):
    look_for_the_key(kiln, unconfined_lab, "(os.environ['HOME'], os.environ['TMPDIR'], os.getcwd())")


def test_a_confined_agent_that_goes_to_the_socket_itself_gets_no_more(kiln, lab):
    mark = lab.model.script(Say("hello"))
    _, lines = lab.run(
        kiln,
        f"""
        import socket

        def connection():
            link = http.client.HTTPConnection("kiln")
            link.sock = socket.socket(socket.AF_UNIX)
            link.sock.connect("/run/kiln/model.sock")
            return link

        say(os.environ["ANTHROPIC_BASE_URL"], ask({mark!r})[0], call("POST", "/v1/files", "{{}}")[0])
        TOKEN = "sk-test-1"
        say(ask({mark!r})[0])
        """,
    )
    assert lines == ["http://127.0.0.1:8080 200 403", "401"] and len(lab.asked(mark)) == 1


def test_the_model_gets_the_key_and_none_of_the_agents_own(kiln, lab):
    mark = lab.model.script(Say("hello"))
    build, lines = lab.run(
        kiln,
        f"""
        say(ask({mark!r}, Authorization="Bearer of-the-agent", Cookie="a=b", api_key="of-the-agent", X_Forwarded_For="1.2.3.4", anthropic_version="2023-06-01")[0])
        """,
    )
    assert build["status"] == "completed" and lines == ["200"]
    headers = lab.asked(mark)[0]["headers"]
    assert headers["x-api-key"] == lab.key and headers["anthropic-version"] == "2023-06-01"
    assert not {"authorization", "cookie", "api-key", "x-forwarded-for"} & set(headers)


def test_who_does_not_know_the_attempts_token_gets_no_answer(kiln, lab):
    mark = lab.model.script(Say("hello"))
    _, lines = lab.run(
        kiln,
        f"""
        for token in ("", "sk-test-1", TOKEN[:-1], TOKEN + "0"):
            TOKEN = token
            say(ask({mark!r})[0])
        """,
    )
    assert lines == ["401"] * 4 and lab.asked(mark) == []


def test_an_answer_that_quotes_the_key_is_starred(kiln, lab):
    _, lines = lab.run(
        kiln,
        f"""
        status, headers, text = ask({lab.model.script(Reflect())!r})
        key = {lab.key[::-1]!r}[::-1]
        say(status, key in text, "x-api-key=" + "*" * len(key) in text.lower(), json.loads(text)["error"] is not None)
        say(headers.get("x-quoted"), headers.get("x-plain"))
        """,
    )
    assert lines == ["400 False True True", "None plain"]


def test_redirects_are_not_followed(kiln, lab):
    mark = lab.model.script(Redirect(f"{lab.model.url}/v1/messages?elsewhere"))
    _, lines = lab.run(kiln, f"status, headers, text = ask({mark!r}); say(status, headers.get('location'), json.loads(text)['type'])")
    assert lines == ["502 None error"] and len(lab.asked(mark)) == 1


def test_a_changed_key_file_counts_from_the_next_call_on(kiln, lab):
    gate, first, second = Gate(kiln), lab.model.script(Say("one")), lab.model.script(Say("two"))
    task = lab.post(
        kiln,
        f"""
        import time
        ask({first!r})
        while not os.path.exists({str(gate.path)!r}):
            time.sleep(0.02)
        say(ask({second!r})[0])
        """,
    )
    wait_for(lambda: lab.asked(first), "the first call", DEADLINE)
    new = f"sk-test-{uuid.uuid4().hex}"
    lab.agents.key_file.write_text(new, encoding="ascii")
    try:
        gate.open()
        assert kiln.wait_end(task, DEADLINE)["status"] == "completed"
    finally:
        lab.agents.key_file.write_text(lab.key, encoding="ascii")
    assert lab.asked(second)[0]["headers"]["x-api-key"] == new


@pytest.fixture
def secure_model(shared_system, tmp_path):
    """A model behind TLS, as the vendors' are: (its URL, the file of who vouches for it, itself)."""
    certificate = pathlib.Path(shared_system.env["KILN_STATE_DIR"]).parent / f"model-{uuid.uuid4().hex[:12]}.pem"
    command = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2", "-subj", "/CN=localhost"]
    subprocess.run([*command, "-addext", "subjectAltName=DNS:localhost", "-keyout", tmp_path / "key", "-out", certificate], check=True, capture_output=True)
    shared_system.give(certificate, 0o644)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, tmp_path / "key")
    model = Model()
    model.server.socket = context.wrap_socket(model.server.socket, server_side=True)
    model.start()
    yield f"https://localhost:{model.server.server_port}", certificate, model
    model.close()
    certificate.unlink()


def test_a_vendors_api_is_reached_by_tls_and_gets_no_key_from_who_does_not_trust_it(kiln, shared_system, place, project, secure_model):
    url, certificate, model = secure_model
    mark = model.script(Say("hello"))
    with stand_ins(shared_system, place, KILN_CLAUDE_CODE_BASE_URL=url, SSL_CERT_FILE=str(certificate)) as agents:
        lab = Lab(agents, project)
        assert lab.run(kiln, f"say(ask({mark!r})[0])")[1] == ["200"]
        assert [request["headers"]["x-api-key"] for request in model.asked(mark)] == [lab.key]
    with stand_ins(shared_system, place, KILN_CLAUDE_CODE_BASE_URL=url) as agents:
        _, said = Lab(agents, project).run(kiln, f"say(ask({mark!r})[0])")
        assert said == ["502"] and len(model.asked(mark)) == 1


# -- what is let through


def test_only_the_models_api_is_reached(kiln, lab):
    before = len(lab.model.requests)
    build, lines = lab.run(
        kiln,
        f"""
        for method, path in {REFUSED!r}:
            status, _, text = call(method, path, "{{}}")
            say(status, json.loads(text)["error"]["type"] if method != "HEAD" else None)
        """,
    )
    assert lines == ["403 permission_error"] * len(REFUSED)
    assert len(lab.model.requests) == before
    assert len(calls(kiln, build["task_id"])) == len(REFUSED)
    assert build["result"]["agent"]["turns"] == 0


def test_requests_that_could_be_read_in_two_ways_are_refused(kiln, lab):
    before = len(lab.model.requests)
    _, lines = lab.run(
        kiln,
        r"""
        def raw(head, body):
            link = connection()
            link.connect()
            link.sock.sendall(f"POST /v1/messages HTTP/1.1\r\nHost: x\r\nx-api-key: {TOKEN}\r\n{head}\r\n\r\n{body}".encode())
            answer = b""
            while part := link.sock.recv(65536):
                answer += part
            return answer.split()[1].decode()

        say(raw("Content-Length: 2\r\nContent-Length: 2", "{}"))
        say(raw("Content-Length: 2\r\nTransfer-Encoding: chunked", "2\r\n{}\r\n0\r\n\r\n"))
        say(raw("Transfer-Encoding: chunked\r\nConnection: close", "0x2\r\n{}\r\n0\r\n\r\n"))
        say(raw("Content-Length: 2\r\nContent-Encoding: gzip", "{}"))
        say(raw("Content-Length: 31\r\nConnection: close", '{"model":"a","model":"b","x":0}'))
        say(raw("Content-Length: 25\r\nConnection: close", r'{"mod\u0065l":"a","x":[]}'))
        """,
    )
    assert lines == ["400", "400", "400", "415", "400", "400"]
    assert len(lab.model.requests) == before


def test_the_vendor_is_not_sent_to_other_servers(kiln, lab):
    before = len(lab.model.requests)
    image = [{"role": "user", "content": [{"type": "image", "source": {"type": "url", "url": "https://example.org/?what-i-have-read"}}]}]
    search = {"tools": [{"type": "web_search_20250305", "name": "web_search"}]}
    _, lines = lab.run(
        kiln,
        f"""
        for path, more in (("", {search!r}), ("", {{"messages": {image!r}}}), ("/count_tokens", {{"messages": {image!r}}}), ("", {{"mcp_servers": [{{}}]}})):
            status, _, text = call("POST", "/v1/messages" + path, json.dumps({{"model": "claude-stand-in", "messages": [], **more}}))
            say(status, "KILN_MODEL_SERVER_TOOLS" in text)
        """,
    )
    assert lines == ["400 True"] * 4
    assert len(lab.model.requests) == before


# -- what passes


def test_the_models_errors_and_troubles_reach_the_agent_as_they_are(kiln, lab):
    marks = {status: lab.model.script(Fail(status)) for status in (429, 500, 529)}
    cut, early, whole = lab.model.script(Cut()), lab.model.script(Finish()), lab.model.script(Say("hello"))
    _, lines = lab.run(
        kiln,
        f"""
        for mark in {list(marks.values())!r}:
            status, _, text = ask(mark)
            say(status, json.loads(text)["error"]["message"])
        try:
            ask({cut!r})
        except http.client.IncompleteRead as error:
            say("cut", b"message_start" in error.partial)
        say("early", "Let me" in ask({early!r})[2])
        say("stream", ask({whole!r})[2].count("data: "))
        say("whole", json.loads(ask({whole!r}, stream=False)[2])["content"][0]["text"])
        """,
    )
    assert lines == ["429 scripted 429", "500 scripted 500", "529 scripted 529", "cut True", "early True", "stream 6", "whole hello"]


def test_a_stream_is_passed_on_while_it_comes(kiln, lab):
    mark = lab.model.script(Stall())
    _, lines = lab.run(
        kiln,
        f"""
        link = connection()
        request = {{"model": "claude-stand-in", "stream": True, "messages": [{{"role": "user", "content": {mark!r}}}]}}
        link.request("POST", "/v1/messages", json.dumps(request), {{"x-api-key": TOKEN}})
        answer = link.getresponse()
        text = b""
        while b"Let me" not in text:
            text += answer.read1()
        say("there")
        """,
    )
    assert lines == ["there"]


# -- counts and limits


def test_the_result_has_the_wires_numbers_and_the_log_a_line_a_call(kiln, lab):
    mark = lab.model.script(Say("hello"), Say("hello"))
    build, _ = lab.run(kiln, f"ask({mark!r}); ask({mark!r}, stream=False); call('GET', '/v1/models')")
    agent = build["result"]["agent"]
    assert agent["turns"] == 2 and agent["tokens"] == {"input": 2000, "output": 100, "cached": 400}
    assert agent["cost_usd"] == pytest.approx(2 * ANSWER_USD)  # the stand-in says other numbers
    lines = calls(kiln, build["task_id"])
    assert len(lines) == 3 and "claude-stand-in, 1000 in, 50 out, 200 cached, USD 0.003810" in lines[0] and "GET /v1/models: 404" in lines[2]


@pytest.mark.parametrize(
    "limit, error_class, answers",
    [({"max_turns": 2}, "turn_limit", 2), ({"max_tokens": 1300}, "budget_exceeded", 2), ({"budget_usd": 0.01}, "budget_exceeded", 3)],
    ids=["max_turns", "max_tokens", "budget_usd"],
)
def test_a_limit_ends_the_build_whatever_the_agent_does(kiln, lab, limit, error_class, answers):
    mark = lab.model.script(Say("hello"))
    build, lines = lab.run(
        kiln,
        f"""
        while (answer := ask({mark!r}))[0] == 200:
            pass
        say(answer[0], json.loads(answer[2])["error"]["type"], next(iter({limit!r})) in answer[2])
        """,
        agent=limit,
    )
    assert build["status"] == "failed" and build["result"]["error"]["class"] == error_class
    assert lines == ["400 invalid_request_error True"]
    assert len(lab.asked(mark)) == answers == build["result"]["agent"]["turns"]


def test_answers_that_an_agent_hangs_up_on_count(kiln, lab):
    mark = lab.model.script(Stall())
    build, _ = lab.run(
        kiln,
        f"""
        for _ in range(3):
            link = connection()
            request = {{"model": "claude-stand-in", "stream": True, "messages": [{{"role": "user", "content": {mark!r}}}]}}
            link.request("POST", "/v1/messages", json.dumps(request), {{"x-api-key": TOKEN}})
            text, answer = b"", link.getresponse()
            while b"Let me" not in text:
                text += answer.read1()
            answer.close()
            link.close()
        """,
    )
    agent = build["result"]["agent"]
    assert agent["turns"] == 3 and agent["tokens"]["input"] == 3000 and agent["tokens"]["output"] >= 3
    assert all("(estimated)" in line for line in calls(kiln, build["task_id"]))


def test_a_model_without_a_price_is_not_asked_under_a_budget(kiln, lab):
    mark = lab.model.script(Say("hello"))
    build, lines = lab.run(kiln, f"say(ask({mark!r}, model='dear')[0])", agent={"budget_usd": 1})
    assert build["result"]["error"]["class"] == "model_unpriced" and "dear" in build["result"]["error"]["message"]
    assert lines == ["400"] and lab.asked(mark) == []
