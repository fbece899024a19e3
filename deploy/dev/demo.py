"""One build from POST to commit and webhook, verified by means that are not Kiln's own: demo.py [AGENT [scripted|vendor]]

Reads the environment of a running system (.dev/env). Exit status 0 only when everything
that it prints as checked was checked and right.
"""

import base64
import hashlib
import http.server
import json
import os
import queue
import secrets
import subprocess
import sys
import tempfile
import threading
import time
import urllib.error
import urllib.request

import rfc8785
import standardwebhooks

URL = os.environ["KILN_URL"]
TOKEN = os.environ["KILN_TOKEN"]
AGENT = sys.argv[1] if len(sys.argv) > 1 else "command"
VENDOR = sys.argv[2:] == ["vendor"]  # a model that nobody has scripted
DEADLINE_S = 900 if VENDOR else 120
POLL_S = 0.03
PROMPT = "Write a page that says hello, and a program that does."
FILES = ["HELLO.md", "src/hello.sh"]
if VENDOR:
    PROMPT += f" Call them {FILES[0]} and {FILES[1]}. Write nothing else, and do not commit."
TERMINAL = ("build.completed", "build.failed", "build.cancelled")

direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))
began = time.monotonic()


class Failed(Exception):
    pass


def check(truth, what):
    if not truth:
        raise Failed(what)


def say(text):
    print(f"  {(time.monotonic() - began) * 1000:8.1f} ms  {text}", flush=True)


def call(method, path, body=None):
    request = urllib.request.Request(URL + path, method=method)
    request.add_header("Authorization", f"Bearer {TOKEN}")
    if body is not None:
        request.add_header("Content-Type", "application/json")
        request.data = json.dumps(body).encode()
    try:
        with direct.open(request, timeout=10) as answer:
            return answer.status, json.load(answer)
    except urllib.error.HTTPError as error:
        raise Failed(f"{method} {path}: {error.code} {error.read().decode(errors='replace')}") from error
    except (OSError, ValueError) as error:
        raise Failed(f"{method} {path}: {error}") from error


class Receiver(http.server.ThreadingHTTPServer):
    """Takes webhooks as they come; what they are worth is decided later."""

    def __init__(self):
        self.received = queue.Queue()
        super().__init__(("127.0.0.1", 0), ReceiverHandler)
        threading.Thread(target=self.serve_forever, daemon=True).start()

    @property
    def url(self):
        return f"http://127.0.0.1:{self.server_port}/kiln"


class ReceiverHandler(http.server.BaseHTTPRequestHandler):
    def do_POST(self):
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        self.server.received.put((dict(self.headers.items()), body))
        self.send_response(204)
        self.end_headers()

    def log_message(self, *_):
        pass


def post(receiver):
    project = f"demo-{secrets.token_hex(4)}"
    status, answer = call("POST", "/project/create-and-build", {
        "project": {"name": project},
        "build": {
            "prompt": PROMPT,
            "agent": {"provider": "command", "command": "demo"} if AGENT == "command" else {"provider": AGENT},
            "auto_commit": True,
            "auto_push": True,
            "callback_url": receiver.url,
            "commit_message": "Say hello",
            "metadata": {"asked_by": "dev-demo"},
        },
    })
    check(status == 202 and answer["status"] == "pending", f"not accepted: {status} {answer}")
    secret = answer.get("webhook_secret") or answer["project"].get("webhook_secret")
    check(secret, "no webhook secret for the new project")
    say(f"202 pending: build {answer['task_id']} of project {project}")
    return project, answer["task_id"], secret


def follow(task):
    """Prints the trail as it grows; returns it whole."""
    trail = []
    while not trail or trail[-1]["type"] not in TERMINAL:
        check(time.monotonic() - began < DEADLINE_S, f"not finished after {DEADLINE_S} s")
        after = trail[-1]["sequence"] if trail else 0
        _, page = call("GET", f"/builds/{task}/events?after={after}")
        for event in page["items"]:
            trail.append(event)
            data = event["data"]
            say(f"  {event['sequence']:2}  {event['type']:<20} {data['status']:<10} {data.get('phase') or ''}")
        if not page["items"]:
            time.sleep(POLL_S)
    return trail


def verify_statuses(task, trail):
    statuses = []
    for event in trail:
        if not statuses or statuses[-1] != event["data"]["status"]:
            statuses.append(event["data"]["status"])
    if statuses[-1] == "failed":
        raise Failed(f"the build failed: {trail[-1]['data']['result']['error']}")
    check(statuses == ["pending", "running", "completed"], f"statuses were {statuses}")
    _, build = call("GET", f"/builds/{task}")
    check(build["status"] == "completed" and build["result"]["success"] is True, f"build says {build}")
    say("checked: pending -> running -> completed")
    return build["result"]


def verify_agent(result):
    """The real ones say who they are and what it took."""
    agent = result["agent"]
    check(agent["provider"] == AGENT, f"the agent was {agent}")
    if AGENT == "command":
        return
    tokens = agent["tokens"]
    check(agent["version"] and agent["session_id"], f"the agent does not say who it is: {agent}")
    check(agent["turns"] >= (1 if VENDOR else 5) and tokens["input"] > 0 and tokens["output"] > 0, f"nothing was counted: {agent}")
    check(agent["cost_usd"] or VENDOR, f"the cost was not counted: {agent}")
    cost = f"{agent['cost_usd']:.4f} USD" if agent["cost_usd"] else "at no known price (KILN_MODEL_PRICES)"
    say(f"checked: {AGENT} {agent['version']}, {agent['turns']} turns, {tokens['input']} + {tokens['cached']} cached tokens in, "
        f"{tokens['output']} out, {cost}")
    say(f"its answer: {result['output']}")


def verify_hashes(trail):
    """Anybody can compute them from the data of the answer: RFC 8785 gives the stored bytes."""
    previous = bytes(32)
    for number, event in enumerate(trail, 1):
        check(event["sequence"] == number, f"gap in the trail before {event['sequence']}")
        previous = hashlib.sha256(previous + rfc8785.dumps(event["data"])).digest()
        check(previous.hex() == event["hash"], f"hash of event {number} does not match")
    say(f"checked: {len(trail)} events without a gap, their hash chain ends in {previous.hex()[:16]}...")


def git(*arguments, cwd=None):
    credentials = base64.b64encode(f"kiln:{os.environ['KILN_GIT_TOKEN']}".encode()).decode()
    environment = {
        "PATH": os.environ["PATH"],
        "HOME": "/nonexistent",
        "GIT_CONFIG_NOSYSTEM": "1",
        "GIT_TERMINAL_PROMPT": "0",
        "GIT_CONFIG_COUNT": "1",
        "GIT_CONFIG_KEY_0": "http.extraHeader",
        "GIT_CONFIG_VALUE_0": f"Authorization: Basic {credentials}",
    }
    done = subprocess.run(["git", *arguments], cwd=cwd, env=environment, capture_output=True, text=True, check=False)
    check(done.returncode == 0, f"git {' '.join(arguments)}: {done.stderr}")
    return done.stdout


def verify_commit(project, task, result):
    """The server's copy, by git's own command line, not what Kiln says about it."""
    remote = f"{os.environ['KILN_GIT_URL']}/{project}.git"
    with tempfile.TemporaryDirectory() as clone:
        git("clone", "--quiet", "--branch", result["branch"], remote, clone)
        head = git("rev-parse", "HEAD", cwd=clone).strip()
        check(head == result["commit_sha"], f"the branch is at {head}, the result says {result['commit_sha']}")
        mine = []
        for commit in git("rev-list", "--all", cwd=clone).split():
            trailers = git("show", "-s", "--format=%(trailers:key=Kiln-Build,valueonly)", commit, cwd=clone)
            if task in trailers.split():
                mine.append(commit)
        check(mine == [head], f"commits with this build's trailer: {mine}")
        files = git("ls-tree", "-r", "--name-only", "HEAD", cwd=clone).split()
        check(files == FILES, f"the tree holds {files}")
        # The command agent quotes its prompt; a scripted model (tests/support/model_api/script.py) does as it is told.
        wanted = PROMPT if AGENT == "command" else "" if VENDOR else "A page that says hello."
        check(wanted in git("show", "HEAD:HELLO.md", cwd=clone), "HELLO.md is not what the agent wrote")
        check(sorted(f["path"] for f in result["files_changed"]) == files, f"files_changed: {result['files_changed']}")
        say(f"checked: {remote} has the commit {head[:12]} with {', '.join(files)}")
        for line in git("log", "-1", "--stat", "--format=%h %an: %s%n%n%(trailers)", cwd=clone).rstrip().split("\n"):
            print(f"{'':15}| {line}")


def verify_webhook(receiver, task, trail, secret):
    try:
        headers, body = receiver.received.get(timeout=30)
    except queue.Empty:
        raise Failed("no webhook within 30 s") from None
    try:
        payload = standardwebhooks.Webhook(secret).verify(body, {k.lower(): v for k, v in headers.items()})
    except standardwebhooks.WebhookVerificationError as error:
        raise Failed(f"the webhook's signature: {error}") from error
    last = trail[-1]
    check(payload["type"] == "build.completed", f"webhook of type {payload['type']}")
    check(payload["data"] == last["data"] | {"task_id": task}, "the webhook's data is not the event's")
    given = {k.lower(): v for k, v in headers.items()}["webhook-id"]
    check(given == f"build/{task}/{last['sequence']}", f"webhook-id is {given}")
    say(f"checked: webhook {given} arrived, signature verified by the library standardwebhooks")


def show_logs(task):
    _, page = call("GET", f"/builds/{task}/logs")
    wanted = "demo agent" if AGENT == "command" else "[model API] " if VENDOR else "Hello from an agent."
    check(any(wanted in item["text"] for item in page["items"]), "the agent's lines are not in the log")
    say("the agent's log:")
    for item in page["items"]:
        for line in item["text"].rstrip("\n").split("\n"):
            print(f"{'':15}| {item['stream']}: {line}")


def main():
    check(URL and TOKEN, "no running system: ./dev up")
    receiver = Receiver()
    project, task, secret = post(receiver)
    trail = follow(task)
    say("the trail ends; now it is verified")
    result = verify_statuses(task, trail)
    verify_agent(result)
    verify_hashes(trail)
    verify_webhook(receiver, task, trail, secret)
    verify_commit(project, task, result)
    show_logs(task)
    say("all verified")


if __name__ == "__main__":
    try:
        main()
    except Failed as failure:
        print(f"demo: {failure}", file=sys.stderr)
        sys.exit(1)
