"""The folder with the repositories: finds them by URL path, makes new ones."""

import os
import pathlib
import re
import shutil
import tempfile

SEGMENT = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,127}")
MAX_DEPTH = 8

# Configuration of a repository made here: every change of a ref leaves a trace (also outside
# refs/heads, also in a bare repository), and no clean-up runs in the middle of a test.
REPOSITORY_CONFIG = """\
[core]
\trepositoryformatversion = 0
\tfilemode = true
\tbare = true
\tlogAllRefUpdates = always
[http]
\treceivepack = true
[receive]
\tautogc = false
\tadvertisePushOptions = true
[gc]
\tauto = 0
"""


class Refused(Exception):
    """Ends a request with a status and a line of text."""

    def __init__(self, status, text):
        super().__init__(text)
        self.status = status
        self.text = text


class Repositories:
    def __init__(self, root):
        self.root = pathlib.Path(root).resolve()
        self.root.mkdir(parents=True, exist_ok=True)

    def path(self, url_path):
        """The folder for a path of a URL; it may not exist. Nothing outside the root has a name."""
        segments = url_path.strip("/").split("/")
        if not 1 <= len(segments) <= MAX_DEPTH or not all(SEGMENT.fullmatch(s) for s in segments):
            raise Refused(404, "no such repository")
        path = self.root.joinpath(*segments)
        for parent in path.parents:
            if parent == self.root:
                break
            if self.is_repository(parent):
                raise Refused(404, "no such repository")  # the inside of another one
        return path

    @staticmethod
    def is_repository(path):
        return os.path.isfile(path / "HEAD") and os.path.isdir(path / "objects")

    def create(self, path):
        """Makes an empty repository, whole or not at all; losing a race to another push is fine."""
        if os.path.isdir(path) and os.listdir(path):
            raise Refused(404, "no such repository")  # a folder of repositories
        path.parent.mkdir(parents=True, exist_ok=True)
        temp = pathlib.Path(tempfile.mkdtemp(prefix=".new-", dir=self.root))
        try:
            for name in ("objects/info", "objects/pack", "refs/heads", "refs/tags", "hooks", "info"):
                (temp / name).mkdir(parents=True)
            (temp / "config").write_text(REPOSITORY_CONFIG)
            (temp / "description").write_text("made by its first push\n")
            (temp / "HEAD").write_text("ref: refs/heads/main\n")
            temp.chmod(0o755)
            os.rename(temp, path)
        except OSError:
            shutil.rmtree(temp, ignore_errors=True)
            if not self.is_repository(path):
                raise
