"""Whole attempts without Kafka: the executor's child (`kiln-executor run-attempt`), whose daemon the test plays, and a git server.

What the agent runs in is the complete profile of production; what is done with its workspace is the product's own code."""
import contextlib
import hashlib
import json
import os
import pathlib
import shutil
import socket
import struct
import subprocess
import tempfile
import uuid

from conftest import BIN, NOBODY, as_nobody
from kiln_testing.repositories import EMPTY_ENV, git
from kiln_testing.system import free_folder

SERVER = pathlib.Path(__file__).resolve().parent.parent / "support" / "git-server" / "git_server.py"
ATTEMPT, ACK, LEASE, PHASE, LOG, ASK_LEASE, RESULT, PUBLISHING = 1, 3, 4, 5, 6, 7, 8, 10  # executor/frames.h
HEADER = struct.Struct("=IIQ")
TIMEOUT_S = 250
# git's own check of what is pushed; for .gitmodules, which are only text to Kiln, it is off.
STRICT = {"receive.fsckObjects": "true", **{f"receive.fsck.gitmodules{what}": "ignore" for what in ("Url", "Path", "Name", "Update", "Symlink")}}


class Site:
    """A state directory, agents' programs, and a git server with its repositories."""

    def __init__(self):
        self.root = free_folder("kiln-test-attempts-")
        self.state = self.folder("state", 0o700)
        for name in ("work", "mirrors", "locks", "trash", "spares", "results", "sessions"):
            self.folder(f"state/{name}", 0o700)
        self.agents = self.folder("agents", 0o755)
        self.outside = self.folder("outside", 0o777)  # anybody may write there: what ran outside of the sandbox leaves a sign
        self.credentials = self.folder("credentials", 0o755)
        self.repositories = self.folder("repositories", 0o755)
        self.token = uuid.uuid4().hex
        self.server = self._serve()
        address = self.server.stdout.readline().decode().rpartition("://")[2].strip()
        self.url = f"http://{address}"
        (self.credentials / "local.json").write_text(json.dumps({"url_prefix": self.url, "username": "kiln", "token": self.token}), encoding="ascii")

    def folder(self, name, mode):
        path = self.root / name
        path.mkdir()
        path.chmod(mode)
        if os.geteuid() == 0:
            os.chown(path, NOBODY, NOBODY)
        return path

    def _serve(self):
        copy = self.folder("server", 0o755)  # the clone may not be readable for its user
        for source in SERVER.parent.glob("*.py"):
            shutil.copy(source, copy / source.name)
        return subprocess.Popen(
            ["/usr/bin/python3", "-E", "-s", "-B", str(copy / SERVER.name), "--root", str(self.repositories)], cwd="/", stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
            env={"PATH": "/usr/bin:/bin", "GIT_SERVER_TOKEN": self.token}, **as_nobody(),
        )  # fmt: skip

    def program(self, script):
        name = f"agent-{uuid.uuid4().hex[:8]}"
        path = self.agents / name
        path.write_text(script, encoding="utf-8")
        path.chmod(0o755)
        return name

    def mirror_of(self, repository):
        """Where the executor keeps it, as an attacker could work it out."""
        return self.state / "mirrors" / f"{hashlib.sha256(repository.url.encode()).hexdigest()[:32]}.git"

    def run(self, repository, script, **more):
        """One attempt from its assignment to its result."""
        return Child(self).run(repository, self.program(script), **more)

    def close(self):
        self.server.terminate()
        self.server.communicate()
        shutil.rmtree(self.root, ignore_errors=True)


class Repository:
    """On the server, which takes no broken objects; each attempt has a branch of its own."""

    def __init__(self, site, files):
        self.site = site
        name = f"r-{uuid.uuid4().hex[:10]}"
        self.url = f"{site.url}/{name}.git"
        self.bare = site.repositories / f"{name}.git"
        with tempfile.TemporaryDirectory(prefix="kiln-test-seed-") as seed:
            git("init", "-q", "-b", "main", seed)
            git("commit", "-q", "--allow-empty", "-m", "Nothing", cwd=seed)
            for path, text in files.items():
                pathlib.Path(seed, path).write_text(text, encoding="utf-8")
            git("add", "-A", cwd=seed)
            git("commit", "-q", "-m", "First", cwd=seed)
            git("push", "-q", self.url, "HEAD:refs/heads/main", cwd=seed, credentials=f"kiln:{site.token}")
        for option, value in STRICT.items():
            self.ask("config", option, value)
        if os.geteuid() == 0:
            os.chown(self.bare / "config", NOBODY, NOBODY)
        self.base = self.ask("rev-parse", "main")

    def ask(self, *arguments, text=None):
        done = subprocess.run(
            ["git", "-c", "safe.directory=*", "--git-dir", str(self.bare), *arguments], cwd="/", env=EMPTY_ENV, input=text or "", capture_output=True, encoding="utf-8", errors="replace",
            check=True, timeout=200,
        )  # fmt: skip
        return done.stdout.strip()

    def files(self, branch):
        return self.ask("ls-tree", "-r", "--name-only", branch).splitlines()

    def added(self, branch):
        """Ids, names and content of all that the branch has and main has not, in one text."""
        listed = self.ask("rev-list", "--objects", branch, "^main")
        return listed + self.ask("ls-tree", "-r", branch) + self.ask("cat-file", "--batch", text="".join(f"{line.split()[0]}\n" for line in listed.splitlines()))


class Child:
    """Plays the daemon to one child: everything is acknowledged, and the lease is good."""

    def __init__(self, site):
        self.env = {
            "PATH": "/usr/local/bin:/usr/bin:/bin", "KILN_KAFKA_BROKERS": "none", "KILN_OPS_PORT": "0", "KILN_SANDBOX": "bwrap", "KILN_STATE_DIR": str(site.state),
            "KILN_COMMAND_AGENTS_DIR": str(site.agents), "KILN_CREDENTIALS_DIR": str(site.credentials), "KILN_GIT_ALLOW": "127.0.0.0/8", "KILN_KILL_GRACE_MS": "200",
        }  # fmt: skip

    def run(self, repository, command, meanwhile=None, **spec):
        """`meanwhile` is called when the agent has been started, and before anything can be pushed."""
        ours, its = socket.socketpair()
        process = subprocess.Popen(
            [str(BIN / "kiln-executor"), "run-attempt", "{}"], env=self.env, cwd="/", stdin=its, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
            start_new_session=True, **as_nobody(),
        )  # fmt: skip
        its.close()
        token = {"build_id": str(uuid.uuid4()), "attempt": 1, "lease_id": str(uuid.uuid4())}
        chosen = {"provider": "command", "model": None, "command": command, "max_turns": None, "max_tokens": None, "budget_usd": None}
        assignment = {
            **token, "mode": "run", "project": {"id": str(uuid.uuid4()), "name": "demo"},
            "spec": {"prompt": "Do it.", "auto_commit": True, "auto_push": True, "agent": chosen, "branch": None, "commit_message": None, "timeout_s": 200, **spec},
            "git": {"url": repository.url, "credential": "local", "create_missing": False}, "base_sha": None, "branch": None, "earlier": [], "settle_end": None,
        }  # fmt: skip
        end = End(token)
        ours.settimeout(TIMEOUT_S)
        try:
            self._send(ours, ATTEMPT, 0, assignment)
            self._serve(ours, end, meanwhile)
        except TimeoutError as error:
            raise AssertionError(f"the attempt does not end; its last phase was {end.phases[-1:]}") from error
        finally:
            ours.close()  # what does not end is ended: the child dies with its daemon
            try:
                _, complaint = process.communicate(timeout=20)
            except subprocess.TimeoutExpired:
                process.kill()
                _, complaint = process.communicate()
        assert end.result is not None, (process.returncode, complaint.decode(errors="replace")[-3000:])
        return end

    @staticmethod
    def _send(connection, kind, number, data=None):
        body = json.dumps(data).encode() if data is not None else b""
        connection.sendall(HEADER.pack(len(body), kind, number) + body)

    @staticmethod
    def _read(connection, length):
        got = b""
        while len(got) < length:
            try:
                part = connection.recv(min(length - len(got), 1 << 16))
            except ConnectionResetError:  # it died
                part = b""
            if not part:
                return None
            got += part
        return got

    def _serve(self, connection, end, meanwhile):
        while head := self._read(connection, HEADER.size):
            length, kind, number = HEADER.unpack(head)
            data = self._read(connection, length)
            if kind == ASK_LEASE:
                self._send(connection, LEASE, number, {"left_ms": 60000})
                continue
            if kind == PUBLISHING:
                continue
            if kind == RESULT:
                end.result = json.loads(data)
                return
            if kind == PHASE:
                end.phases.append(json.loads(data))
                if meanwhile and end.phases[-1]["phase"] == "agent":
                    meanwhile()  # the phase is not acknowledged yet
            elif kind == LOG:
                end.lines += json.loads(data)["lines"]
            with contextlib.suppress(BrokenPipeError, ConnectionResetError):  # its result is on the way already: only logs are waited for
                self._send(connection, ACK, number)


class End:
    """What became of an attempt, as its daemon has heard it."""

    def __init__(self, token):
        self.token = token
        self.result = None
        self.phases = []
        self.lines = []

    @property
    def published(self):
        return self.result["published"]

    @property
    def output(self):
        return self.result["result"]["output"]

    @property
    def error(self):
        return (self.result["result"]["error"] or {}).get("class")

    def log(self, stream):
        return "\n".join(line["text"] for line in self.lines if line["stream"] == stream)
