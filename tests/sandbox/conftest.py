"""A machine with secrets on it, and agents that are after them: run by the executor's own agent_run, in a sandbox or without."""
import json
import os
import pathlib
import shutil
import signal
import socket
import subprocess
import textwrap
import threading
import uuid

import pytest

from kiln_testing.agents import processes_with
from kiln_testing.system import free_folder
from kiln_testing.waiting import wait_for

BIN = pathlib.Path(os.environ["KILN_TEST_BIN"])
NOBODY = 65534  # as whom the executor runs: it refuses to be root


def as_nobody():
    """For subprocess: the executor's user of these tests."""
    return {"user": NOBODY, "group": NOBODY, "extra_groups": []} if os.geteuid() == 0 else {}


class World:
    """The executor's host: state directory, other builds, credentials, servers on loopback."""

    def __init__(self):
        self.secret = f"secret-{uuid.uuid4().hex}"
        self.root = free_folder("kiln-test-sandbox-")
        self.root.chmod(0o755)
        self.state = self.folder("state", 0o700)
        self.agents = self.folder("agents", 0o755)
        self.outside = self.folder("outside", 0o777)  # anybody may write there
        self.file("host/secret")
        self.file("credentials/git.json")
        self.file("state/work/other/files/secret")
        self.file("state/work/other/home/secret")
        self.file("state/mirrors/other.git/objects/secret")
        self.file("state/sessions/project.build.session")
        self.restock()
        self.servers = Servers(self.root)
        if os.geteuid() == 0:
            subprocess.run(["chown", "-R", f"{NOBODY}:{NOBODY}", str(self.state)], check=True)

    def folder(self, name, mode):
        path = self.root / name
        path.mkdir(parents=True, exist_ok=True)
        path.chmod(mode)
        return path

    def file(self, name):
        path = self.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(self.secret + "\n", encoding="ascii")
        path.chmod(0o644)

    def restock(self):
        """The mirror's objects, the executor's own: without a sandbox an agent takes them away."""
        self.file("objects/pack/pack-1.pack")
        for path in (self.root / "objects", self.root / "objects/pack", self.root / "objects/pack/pack-1.pack"):
            if os.geteuid() == 0:
                os.chown(path, NOBODY, NOBODY)

    def write(self, script, name="agent"):
        """An agent's program; {…} are places of this world."""
        text = textwrap.dedent(script).lstrip().replace("{SECRET}", self.secret).replace("{ROOT}", str(self.root))
        for kind, value in self.servers.places().items():
            text = text.replace("{" + kind + "}", value)
        path = self.agents / f"{name}-{uuid.uuid4().hex[:8]}"
        path.write_text(text, encoding="utf-8")
        path.chmod(0o755)
        return path

    def environment(self, sandbox, lease, **settings):
        return {
            "PATH": "/usr/bin:/bin", "KILN_KAFKA_BROKERS": "none", "KILN_OPS_PORT": "0", "KILN_SANDBOX": sandbox, "KILN_STATE_DIR": str(self.state),
            "KILN_COMMAND_AGENTS_DIR": str(self.agents), "KILN_KILL_GRACE_MS": "200", "KILN_TEST_SECRET": self.secret, "KILN_TEST_LEASE": lease,
            **settings,
        }  # fmt: skip

    def start(self, sandbox, program, prompt="", **settings):
        lease = str(uuid.uuid4())
        process = subprocess.Popen(  # pylint: disable=consider-using-with
            [str(BIN / "kiln-test-confine"), lease, str(program)], env=self.environment(sandbox, lease, **settings), cwd="/",
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, start_new_session=True, **as_nobody(),
        )  # fmt: skip
        process.stdin.write(prompt.encode())
        process.stdin.close()
        process.stdin = None
        process.lease = lease
        return process

    def run(self, sandbox, script, prompt="", timeout=100, **settings):
        """How it ended, from kiln-test-confine; with the lease."""
        process = self.start(sandbox, self.write(script), prompt, **settings)
        try:
            said, complaint = process.communicate(timeout=timeout)
        except subprocess.TimeoutExpired:
            process.kill()
            raise
        assert process.returncode == 0, complaint.decode()
        return {**json.loads(said.splitlines()[-1]), "lease": process.lease}

    def workspace(self, lease):
        return self.state / "work" / lease

    def close(self):
        self.servers.close()
        shutil.rmtree(self.root, ignore_errors=True)


class Servers:
    """Listeners that greet: on loopback (as Kafka and Postgres do), on a Unix socket in the file system, on an abstract one."""

    def __init__(self, root):
        self.stopping = False
        self.path = root / "server.sock"
        self.abstract = f"kiln-test-{uuid.uuid4().hex}"
        self.sockets = [self._listen(socket.AF_INET, ("127.0.0.1", 0)), self._listen(socket.AF_UNIX, str(self.path)), self._listen(socket.AF_UNIX, "\0" + self.abstract)]
        self.path.chmod(0o777)
        self.threads = [threading.Thread(target=self._greet, args=(one,), daemon=True) for one in self.sockets]
        for thread in self.threads:
            thread.start()

    @staticmethod
    def _listen(family, address):
        one = socket.socket(family, socket.SOCK_STREAM)
        one.bind(address)
        one.listen(64)
        return one

    def _greet(self, one):
        while True:
            try:
                client, _ = one.accept()
            except OSError:
                return
            with client:
                client.sendall(b"GREETING\n")

    def places(self):
        return {"PORT": str(self.sockets[0].getsockname()[1]), "SOCKET": str(self.path), "ABSTRACT": self.abstract}

    def close(self):
        for one in self.sockets:
            one.shutdown(socket.SHUT_RDWR)
            one.close()
        for thread in self.threads:
            thread.join()


@pytest.fixture(scope="session")
def world():
    one = World()
    yield one
    one.close()


@pytest.fixture
def leftovers():
    """Processes of a lease; what a failed test leaves is killed."""
    seen = []

    def find(lease):
        seen.append(lease)
        return processes_with(lease)

    yield find
    for lease in seen:
        for pid in processes_with(lease):
            os.kill(pid, signal.SIGKILL)
        wait_for(lambda lease=lease: not processes_with(lease), "the test's processes to be gone")
