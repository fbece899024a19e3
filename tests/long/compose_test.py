#!/usr/bin/env python3
"""`docker compose up --scale executor=2` runs the main job.

A real Docker engine of this test's own. No image can be pulled here, so debian:bookworm-slim is made by debootstrap, and stand-ins for apache/kafka:4.2.0 (from
the jars of Maven Central that ./dev has) and postgres:15 (Debian's) are built under the same names; compose.yaml and the Dockerfile are used as they are.
"""
import http.server
import json
import os
import pathlib
import socket
import subprocess
import sys
import tempfile
import threading
import time

import httpx
import standardwebhooks
import yaml

from compose.engine import engine, install, run
from kiln_testing.places import ROOT
from kiln_testing.waiting import wait_for

HERE = pathlib.Path(__file__).resolve().parent
PROJECT = "kilntest"
SERVICES = ("gateway", "build-service", "notifier", "executor")
SKIPPED = 77
SANDBOX = ROOT / "deploy" / "compose" / "sandbox.yaml"
DEMO_AGENT = {"provider": "command", "command": "demo"}


def skip(why):
    print(f"skipped: {why}")
    sys.exit(SKIPPED)


def say(text, start=[time.monotonic()]):  # pylint: disable=dangerous-default-value  # since the start of the program
    print(f"{time.monotonic() - start[0]:7.1f} s  {text}", flush=True)


def free_port():
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return one.getsockname()[1]


class Compose:
    """docker-compose on our file, with an override for what this engine has not."""

    def __init__(self, docker, folder):
        self.docker = docker
        self.port, self.git_port = free_port(), free_port()
        override = folder / "override.yaml"
        # No bridge outside of compose: image builds use the host's network.
        override.write_text(json.dumps({"services": {name: {"build": {"network": "host"}} for name in (*SERVICES, "migrate", "git")}}), encoding="ascii")
        self.command = ["docker-compose", "--project-directory", str(ROOT), "-p", PROJECT, "-f", str(ROOT / "compose.yaml"), "-f", str(override)]
        self.env = docker.env | {
            "KILN_COMPOSE_PORT": str(self.port),
            "KILN_COMPOSE_GIT_PORT": str(self.git_port),
            "KILN_COMPOSE_KAFKA_PORT": str(free_port()),
            "KILN_WEBHOOK_ALLOW": "172.30.0.0/16",
        }

    def __call__(self, *arguments):
        return run(*self.command, *arguments, env=self.env)

    def containers(self, service):
        return self("ps", "-q", service).split()

    def inspect(self, container, template):
        return self.docker.docker("inspect", "-f", template, container).strip()

    def healthy(self, service):
        return all(self.inspect(one, "{{.State.Health.Status}}") == "healthy" for one in self.containers(service))

    def output(self, *arguments):
        """Standard output only."""
        return subprocess.run([*self.command, *arguments], env=self.env, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, check=True, text=True).stdout


class Receiver(http.server.ThreadingHTTPServer):
    """A bot's callback URL, on an address that containers reach."""

    def __init__(self):
        super().__init__(("0.0.0.0", 0), _Handler)
        self.calls = []
        threading.Thread(target=self.serve_forever, daemon=True).start()


class _Handler(http.server.BaseHTTPRequestHandler):
    def do_POST(self):  # pylint: disable=invalid-name
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.server.calls.append((body, {name.lower(): value for name, value in self.headers.items()}))
        self.send_response(204)
        self.end_headers()

    def log_message(self, *_):  # pylint: disable=arguments-differ
        pass


def prepare_images(docker, folder):
    libs = os.environ.get("KILN_TEST_KAFKA_LIBS")
    if libs is None:
        skip("KILN_TEST_KAFKA_LIBS names no folder with Kafka's jars (./dev test sets it)")
    cache = pathlib.Path(libs).parents[1]
    docker.import_base(cache, "debian:bookworm-slim")
    say("debian:bookworm-slim by debootstrap")
    context = folder / "kafka"
    run("cp", "-r", str(HERE / "compose" / "kafka"), str(context))
    run("cp", "-rL", libs, str(context / "libs"))
    docker.build(context, "apache/kafka:4.2.0")
    docker.build(HERE / "compose" / "postgres", "postgres:15")
    say("stand-ins for apache/kafka:4.2.0 and postgres:15")


def run_build(compose, project, build):
    """Creates the project, posts the build, and waits for its end: (the 202's body, the build)."""
    token = compose.output("run", "--rm", "--no-deps", "-T", "--entrypoint", "cat", "migrate", "/var/lib/kiln/admin-token").strip()
    with httpx.Client(base_url=f"http://127.0.0.1:{compose.port}", timeout=30, headers={"Authorization": f"Bearer {token}"}) as api:
        answer = api.post("/project/create-and-build", json={"project": project, "build": {"prompt": "Say hello from a container."} | build})
        assert answer.status_code == 202, answer.text
        task = answer.json()["task_id"]

        def ended():
            shown = api.get(f"/builds/{task}").raise_for_status().json()
            return shown if shown["finished_at"] else None

        build = wait_for(ended, f"build {task} to end", deadline=120, poll=0.1)
    assert build["status"] == "completed", build
    return answer.json(), build


def main_job(compose, docker):
    """One build from POST to commit and webhook."""
    network = docker.docker("network", "inspect", "-f", "{{(index .IPAM.Config 0).Gateway}}", f"{PROJECT}_data").strip()
    receiver = Receiver()
    callback = f"http://{network}:{receiver.server_port}/done"
    accepted, build = run_build(compose, {"name": "hello", "agent": DEMO_AGENT}, {"auto_commit": True, "auto_push": True, "callback_url": callback})
    task, secret = accepted["task_id"], accepted["project"]["webhook_secret"]
    say("a build has completed")

    with tempfile.TemporaryDirectory() as clone:
        run("git", "clone", "-q", f"http://kiln:local-compose-only@127.0.0.1:{compose.git_port}/hello.git", clone)
        assert "Say hello from a container." in pathlib.Path(clone, "HELLO.md").read_text(encoding="utf-8")
        log = run("git", "-C", clone, "log", "--format=%H %(trailers:key=Kiln-Build,valueonly,separator=%x2C)").split()
        assert log == [build["result"]["commit_sha"], task], log
    say("its commit is on the git server, once")

    body, headers = wait_for(lambda: receiver.calls[:1], "the webhook")[0]
    payload = standardwebhooks.Webhook(secret).verify(body, headers)
    assert payload["type"] == "build.completed" and payload["data"]["task_id"] == task, payload
    say("its webhook came, signed")


def sandboxed_job(compose, docker):
    """One more executor, with the options of deploy/compose/sandbox.yaml (this docker-compose does not know all of them): its builds run in the sandbox."""
    like = compose.containers("executor")[0]
    env = json.loads(compose.inspect(like, "{{json .Config.Env}}"))
    options = [f"--env={one}" for one in env if not one.startswith(("PATH=", "KILN_SANDBOX=", "KILN_LABELS="))]
    options += [f"--security-opt={one}" for one in yaml.safe_load(SANDBOX.read_text(encoding="utf-8"))["services"]["executor"]["security_opt"]]
    agents = f"{ROOT}/deploy/dev/agents:/etc/kiln/agents:ro"
    credentials = f"{ROOT}/deploy/compose/credentials:/etc/kiln/credentials:ro"
    container = docker.docker("run", "-d", "--init", f"--network={PROJECT}_work", "-v", agents, "-v", credentials, *options,
                              "--env=KILN_SANDBOX=bwrap", "--env=KILN_LABELS=sandboxed", "kiln/executor").strip()  # fmt: skip
    try:
        run_build(compose, {"name": "sandboxed", "agent": DEMO_AGENT}, {"labels": ["sandboxed"]})
        sandbox = compose.output("exec", "-T", "postgres", "psql", "-U", "kiln", "-Atc", "select sandbox from workers where 'sandboxed' = any(labels)").strip()
        assert sandbox == "bwrap", sandbox
        say("a build has completed in the sandbox")
    finally:
        docker.docker("rm", "-f", container)


def reaches(docker, compose, service, host):
    """Whether it knows that host at all: they share a network."""
    return "found" in docker.docker("exec", compose.containers(service)[0], "sh", "-c", f"getent hosts {host} > /dev/null && echo found || echo none")


def test(docker, folder):
    compose = Compose(docker, folder)
    try:
        compose("build")
        say("Kiln's images built")
        compose("up", "-d", "--no-build", "--scale", "executor=2")
        for service in SERVICES:
            wait_for(lambda name=service: compose.healthy(name), f"{service} to be healthy", deadline=120, poll=0.5)
        say("all containers healthy")
        assert len(compose.containers("executor")) == 2
        assert reaches(docker, compose, "executor", "kafka") and not reaches(docker, compose, "executor", "postgres")
        for service in SERVICES:
            for container in compose.containers(service):
                assert docker.docker("exec", container, "id", "-u").strip() == "10001"
        workers = compose.output("exec", "-T", "postgres", "psql", "-U", "kiln", "-Atc", "select count(*) from workers where state = 'active'").strip()
        assert workers == "2", f"{workers} workers"
        main_job(compose, docker)

        sandboxed_job(compose, docker)

        # Again: migrations and topics are there, the first token stays.
        compose("up", "-d", "--no-build", "--scale", "executor=2")
        compose("stop")
        for service in SERVICES:
            for container in compose("ps", "-a", "-q", service).split():
                assert compose.inspect(container, "{{.State.ExitCode}}") == "0", f"{service} did not stop cleanly"
        say("everything stops cleanly")
    except BaseException:
        print(run(*compose.command, "logs", "--no-color", "--tail", "40", env=compose.env))
        raise
    finally:
        compose("down", "-v", "--remove-orphans", "-t", "5")


def main():
    if os.geteuid() != 0:
        skip("a Docker engine needs root")
    install({"dockerd": "docker.io", "docker-compose": "docker-compose", "debootstrap": "debootstrap", "iptables": "iptables"})
    with tempfile.TemporaryDirectory(prefix="kiln-compose-", dir="/var/tmp") as folder, engine() as docker:
        say("dockerd answers")
        prepare_images(docker, pathlib.Path(folder))
        test(docker, pathlib.Path(folder))
    say("done")


if __name__ == "__main__":
    main()
