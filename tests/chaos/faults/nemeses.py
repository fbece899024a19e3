"""What is done to a running system, and undone again. A fault counts once its effect was seen."""

import os
import pathlib
import signal
import time

from kiln_testing.services import start_beside
from kiln_testing.system import is_stopped
from kiln_testing.waiting import wait_for


def _send(pids, number):
    for pid in pids:
        os.kill(pid, number)


def _gone(pid):
    return not pathlib.Path("/proc", str(pid)).exists()


def _wait_gone(pids, name):
    wait_for(lambda: all(map(_gone, pids)), f"{name} to be gone")


class Nemesis:
    """One kind of fault against the processes of one name; `seconds` is how long it lasts, from and to."""

    def __init__(self, kind, name, seconds=(0, 0)):
        self.kind = kind
        self.name = name
        self.seconds = seconds

    def __str__(self):
        return f"{self.kind} {self.name.lower()}"

    def victims(self, system, random):
        pids = system.pids(self.name)
        return pids if self.name == "POSTGRES" else [random.choice(pids)]


class Kill(Nemesis):
    """Dead at once (or asked to end), and started again a while later."""

    def __init__(self, name, number=signal.SIGKILL, seconds=(0, 3)):
        super().__init__({signal.SIGKILL: "kill", signal.SIGTERM: "end", signal.SIGQUIT: "quit"}[number], name, seconds)
        self.number = number

    def run(self, system, random):
        pids = self.victims(system, random)
        _send(pids, self.number)
        _wait_gone(pids, self.name)
        time.sleep(random.uniform(*self.seconds))
        system.up()


class Freeze(Nemesis):
    """It stands still, and goes on as if no time had passed."""

    def __init__(self, name, seconds):
        super().__init__("freeze", name, seconds)

    def run(self, system, random):
        pids = self.victims(system, random)
        _send(pids, signal.SIGSTOP)
        try:
            wait_for(lambda: all(map(is_stopped, pids)), f"{self.name} to stand still")
            time.sleep(random.uniform(*self.seconds))
        finally:
            _send(pids, signal.SIGCONT)


class Join(Nemesis):
    """One more instance, which works for a while and is then killed or asked to end."""

    def __init__(self, name, seconds):
        super().__init__("join", name, seconds)

    def run(self, system, random):
        service = start_beside(system, self.name)
        try:
            service.find_ports(listens=False)
            service.wait_ready()
            time.sleep(random.uniform(*self.seconds))
        finally:
            if random.random() < 0.5:
                service.process.kill()
                service.process.wait(60)
            else:
                service.end()


def all_of(lease_s):
    """`lease_s`: what a freeze must outlast to be noticed."""
    return [
        Kill("GATEWAY"),
        Kill("BUILD_SERVICE"),
        Kill("BUILD_SERVICE", signal.SIGTERM),
        Kill("NOTIFIER"),
        Kill("EXECUTOR"),
        Kill("EXECUTOR", signal.SIGTERM),
        Kill("KAFKA", seconds=(0, 2)),
        Kill("POSTGRES", signal.SIGQUIT, seconds=(0, 2)),
        Freeze("BUILD_SERVICE", (1, 9)),
        Freeze("EXECUTOR", (1, 1.5 * lease_s)),
        Freeze("GATEWAY", (0.5, 2)),
        Freeze("KAFKA", (0.5, 3)),
        Freeze("POSTGRES", (0.5, 3)),
        Join("build-service", (1, 5)),
    ]
