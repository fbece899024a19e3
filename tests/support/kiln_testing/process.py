"""A Kiln service as a process of a test: started, listened to, asked at its ops port, stopped."""

import json
import os
import signal
import subprocess
import urllib.error
import urllib.request

from .waiting import wait_for


def sanitizer_options():
    """What a service's environment has of the test's."""
    return {name: value for name, value in os.environ.items() if name.endswith("SAN_OPTIONS")}


def spawn(system, command, env, log_path, cwd="/", orphaned="KILL"):
    """As the run user, in a session of its own, with its output in the log; whoever calls ends it.

    When pytest is killed, it gets the signal `orphaned`. It is the end of the calling thread that tells: call from one that stays."""
    with log_path.open("ab") as log:
        return subprocess.Popen(
            ["setpriv", "--pdeathsig", orphaned, *map(str, command)],
            env=env,
            cwd=cwd,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            **system.as_run_user(),
        )


def end(process, number=signal.SIGTERM, deadline=60.0):
    """Its status. When it takes longer, it is killed, and that is an error."""
    process.send_signal(number)
    try:
        return process.wait(deadline)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait(5)
        raise


def metric_of(text, name):
    """The sum of a metric's values, whatever their labels; with {labels}, the value with these."""
    samples = (line.rpartition(" ") for line in text.splitlines())
    return sum(float(value) for series, _, value in samples if name in (series, series.partition("{")[0]))


class Process:
    """One instance, with an ops port of the system's choice and a log in JSON. Its `env` holds for the next start."""

    orphaned = "KILL"

    def __init__(self, system, program, log_path, env):
        self.system = system
        self.program = program
        self.log_path = log_path
        self.env = {"PATH": "/usr/local/bin:/usr/bin:/bin", "KILN_KAFKA_BROKERS": system.brokers, **sanitizer_options(), **env}
        self.process = None

    def start(self, wait=True):
        self.process = spawn(self.system, [self.program], self.env, self.log_path, orphaned=self.orphaned)
        if wait:
            wait_for(self.ready, f"{self.program.name} to be ready, log {self.log_path}", deadline=60.0)
        return self

    def log(self):
        return self.log_path.read_text(encoding="utf-8", errors="replace")

    def lines(self):
        found = []
        for line in self.log().splitlines():
            try:
                found.append(json.loads(line))
            except ValueError:
                found.append({"msg": line})
        return found

    def ops(self, path):
        """IndexError while the log does not name the port."""
        port = [line["port"] for line in self.lines() if line["msg"] == "ops port open"][-1]
        with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=60) as answer:
            return answer.read().decode()

    def ready(self):
        assert self.process.poll() is None, self.log()
        try:
            return json.loads(self.ops("/readyz"))["status"] == "pass"
        except (OSError, IndexError):
            return False

    def missing(self):
        """What /readyz names as not fulfilled, with why; None before it answers."""
        try:
            self.ops("/readyz")
        except urllib.error.HTTPError as error:
            return {check["name"]: check["detail"] for check in json.loads(error.read())["checks"] if check["status"] == "fail"}
        except (OSError, IndexError):
            return None
        return {}

    def metric(self, name):
        return metric_of(self.ops("/metrics"), name)

    def stop(self, number=signal.SIGTERM, deadline=60.0):
        """Its status; None when it did not run any more."""
        if self.process is None or self.process.poll() is not None:
            return None
        return end(self.process, number, deadline)
