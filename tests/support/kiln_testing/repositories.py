"""The git server seen by the git command line: what is really there."""

import base64
import pathlib
import socket
import subprocess
import tempfile
import uuid

from .system import free_folder

EMPTY_ENV = {
    "PATH": "/usr/local/bin:/usr/bin:/bin",
    "HOME": "/nonexistent",
    "LC_ALL": "C.UTF-8",
    "GIT_CONFIG_NOSYSTEM": "1",
    "GIT_CONFIG_GLOBAL": "/dev/null",
    "GIT_TERMINAL_PROMPT": "0",
    "GIT_AUTHOR_NAME": "Test",
    "GIT_AUTHOR_EMAIL": "test@localhost",
    "GIT_COMMITTER_NAME": "Test",
    "GIT_COMMITTER_EMAIL": "test@localhost",
}


def git(*arguments, cwd=None, credentials=None, check=True):
    """Runs git, returns its output."""
    configured = []
    if credentials:
        encoded = base64.b64encode(credentials.encode()).decode()
        configured = ["-c", f"http.extraHeader=Authorization: Basic {encoded}"]
    result = subprocess.run(
        ["git", *configured, *arguments],
        cwd=cwd,
        env=EMPTY_ENV,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert not check or result.returncode == 0, f"git {' '.join(arguments)}: {result.stderr}"
    return result.stdout


class Repository:
    """One repository on the system's git server."""

    def __init__(self, system, name):
        self.system = system
        self.name = name
        self.url = f"{system.env['KILN_GIT_URL']}/{name}.git"
        self.credentials = f"kiln:{system.env['KILN_GIT_TOKEN']}"

    def seed(self, files=None, branch="main", message="First"):
        """Pushes a commit with these files (path: text) on top of the branch, which it makes when needed; its id."""
        files = files if files is not None else {"README.md": "# Test\n"}
        with tempfile.TemporaryDirectory(prefix="kiln-test-seed-") as folder:
            git("init", "-q", "-b", branch, folder)
            git("remote", "add", "origin", self.url, cwd=folder)
            if self.tip(branch):
                git("fetch", "-q", "origin", branch, cwd=folder, credentials=self.credentials)
                git("reset", "-q", "--hard", "FETCH_HEAD", cwd=folder)
            for path, text in files.items():
                target = pathlib.Path(folder, path)
                target.parent.mkdir(parents=True, exist_ok=True)
                target.write_text(text, encoding="utf-8")
            git("add", "-A", cwd=folder)
            git("commit", "-q", "--allow-empty", "-m", message, cwd=folder)
            git("push", "-q", "origin", f"HEAD:refs/heads/{branch}", cwd=folder, credentials=self.credentials)
            return git("rev-parse", "HEAD", cwd=folder).strip()

    def refs(self):
        """{name: sha}, as the server tells."""
        text = git("ls-remote", self.url, credentials=self.credentials, check=False)
        return {name: sha for sha, name in (line.split("\t") for line in text.splitlines())}

    def tip(self, branch="main"):
        return self.refs().get(f"refs/heads/{branch}")

    def clone(self, branch=None):
        """A clone in a new folder, as a Clone to be used in a with."""
        return Clone(self, branch)

    @property
    def folder(self):
        """The bare repository itself, where the server keeps it."""
        return pathlib.Path(self.system.env["KILN_GIT_ROOT"], f"{self.name}.git")

    def hook(self, name, script):
        path = self.folder / "hooks" / name
        path.parent.mkdir(exist_ok=True)
        path.write_text("#!/bin/sh\n" + script, encoding="utf-8")
        self.system.give(path.parent)
        self.system.give(path, 0o755)


class Clone:
    def __init__(self, repository, branch):
        self.repository = repository
        self.branch = branch
        self.folder = None

    def __enter__(self):
        self.folder = free_folder("kiln-test-clone-") / uuid.uuid4().hex[:8]
        chosen = ["--branch", self.branch] if self.branch else []
        git("clone", "-q", *chosen, self.repository.url, str(self.folder), credentials=self.repository.credentials)
        return self

    def __exit__(self, *_):
        subprocess.run(["rm", "-rf", str(self.folder.parent)], check=False)

    def git(self, *arguments):
        return git(*arguments, cwd=self.folder).strip()

    def read(self, path):
        return (self.folder / path).read_text(encoding="utf-8")

    def files(self):
        return sorted(self.git("ls-files").splitlines())

    def commits_of(self, build_id):
        """Commits of any fetched branch with the build's trailer."""
        lines = self.git("log", "--all", "--format=%H %(trailers:key=Kiln-Build,valueonly,separator=%x2C)").splitlines()
        return [line.split()[0] for line in lines if line.split()[1:] == [build_id]]


_bound = []  # for as long as this process lives


def unused_port():
    """A port on loopback where nobody listens, nor can: it is taken."""
    _bound.append(socket.socket())
    _bound[-1].bind(("127.0.0.1", 0))
    return _bound[-1].getsockname()[1]
