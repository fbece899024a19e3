"""A private sshd that serves git repositories to whoever runs the tests."""

import os
import pathlib
import pwd
import shutil
import socket
import subprocess

from .repositories import git
from .services import free_port
from .system import free_folder
from .waiting import wait_for

PROGRAM = "/usr/sbin/sshd"  # it starts itself again by this name, so it must be the whole one

# Nothing of the machine's own, and nothing of the user's but the shell.
CONFIG = """\
ListenAddress 127.0.0.1:{port}
HostKey {folder}/host-key
AuthorizedKeysFile {folder}/authorized-keys
PidFile none
UsePAM no
StrictModes no
PasswordAuthentication no
KbdInteractiveAuthentication no
PermitRootLogin prohibit-password
AllowUsers {user}
AcceptEnv GIT_PROTOCOL
SetEnv HOME={folder} GIT_CONFIG_NOSYSTEM=1 GIT_CONFIG_GLOBAL=/dev/null
"""


def make_key(path):
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "test", "-f", str(path)], stdin=subprocess.DEVNULL, check=True)
    return path


def public_key(path):
    """Without its comment."""
    return " ".join(pathlib.Path(f"{path}.pub").read_text(encoding="ascii").split()[:2])


class SshServer:
    def __init__(self):
        self.folder = free_folder("kiln-test-sshd-")
        self.port = free_port()
        self.user = pwd.getpwuid(os.geteuid()).pw_name
        self.host_key = make_key(self.folder / "host-key")
        self.user_key = make_key(self.folder / "user-key")
        (self.folder / "authorized-keys").write_text(f"restrict {public_key(self.user_key)}\n", encoding="ascii")
        (self.folder / "config").write_text(CONFIG.format(port=self.port, folder=self.folder, user=self.user), encoding="ascii")
        if os.geteuid() == 0:
            pathlib.Path("/run/sshd").mkdir(mode=0o755, exist_ok=True)  # where root's one locks up what speaks to strangers
        self.log = self.folder / "log"
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(  # ended by close, or with whoever has started it
                ["setpriv", "--pdeathsig", "TERM", PROGRAM, "-D", "-e", "-f", str(self.folder / "config")],
                env={"PATH": "/usr/bin:/bin"},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
            )
        wait_for(self._is_open, "sshd to listen")

    def _is_open(self):
        if self.process.poll() is not None:
            raise RuntimeError(f"sshd has ended: {self.log.read_text(errors='replace')}")
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", self.port)) == 0

    @property
    def url(self):
        """Without a path, and without a user."""
        return f"ssh://127.0.0.1:{self.port}"

    @property
    def known_hosts(self):
        return f"[127.0.0.1]:{self.port} {public_key(self.host_key)}\n"

    def credential(self, **changes):
        """The content of a credential's file."""
        return {"url_prefix": self.url, "ssh_private_key": self.user_key.read_text(encoding="ascii"), "known_hosts": self.known_hosts} | changes

    def repository(self, name, files):
        """A bare repository whose branch main has a commit with these files (name: text)."""
        return SshRepository(self, name, files)

    def close(self):
        self.process.terminate()
        self.process.wait(60)
        shutil.rmtree(self.folder)


class SshRepository:
    def __init__(self, server, name, files):
        self.folder = server.folder / f"{name}.git"
        self.url = f"ssh://{server.user}@127.0.0.1:{server.port}{self.folder}"
        self.url_without_user = f"{server.url}{self.folder}"
        git("init", "-q", "--bare", "-b", "main", str(self.folder))
        source = server.folder / f"{name}-source"
        git("init", "-q", "-b", "main", str(source))
        for path, text in files.items():
            (source / path).write_text(text, encoding="utf-8")
        git("add", "-A", cwd=source)
        git("commit", "-q", "-m", "First", cwd=source)
        git("push", "-q", str(self.folder), "main", cwd=source)

    def git(self, *arguments):
        return git(*arguments, cwd=self.folder).strip()

    def tip(self):
        return self.git("rev-parse", "refs/heads/main")

    def hook(self, name, script):
        path = self.folder / "hooks" / name
        path.parent.mkdir(exist_ok=True)
        path.write_text("#!/bin/sh\n" + script, encoding="utf-8")
        path.chmod(0o755)
