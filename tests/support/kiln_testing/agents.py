"""Command agents: executables that the executor finds by name in KILN_COMMAND_AGENTS_DIR."""

import os
import pathlib
import textwrap
import uuid


class Agents:
    def __init__(self, system):
        self.system = system
        self.folder = pathlib.Path(system.env["KILN_COMMAND_AGENTS_DIR"])
        self.made = []

    def write(self, script, name=None):
        """Makes a command of a shell script (or of any text that begins with #!); returns its name."""
        name = name or f"test-{uuid.uuid4().hex[:16]}"
        text = textwrap.dedent(script).lstrip()
        if not text.startswith("#!"):
            text = "#!/bin/bash\nset -eu\n" + text
        # Never a half-written one, nor one that is open for writing: that could not be executed.
        temp = self.folder / f".{name}.new"
        temp.write_text(text, encoding="utf-8")
        temp.chmod(0o755)
        os.replace(temp, self.folder / name)
        self.made.append(name)
        return name

    def close(self):
        for name in self.made:
            (self.folder / name).unlink(missing_ok=True)


def spec(command, **fields):
    """A BuildSpec that runs a command agent."""
    return {"prompt": "Do as you are written.", "agent": {"provider": "command", "command": command}, **fields}


WAITS = {"labels": ["nobody-has-this"]}


def waiting_spec(**fields):
    """A BuildSpec that nobody will run."""
    return spec("none", **WAITS, **fields)


def many_commits(count):
    """A line of shell that makes so many commits without a change on top of HEAD, which they leave at the last one."""
    commits = f'BEGIN {{ for (n = 1; n <= {count}; n++) printf "commit refs/heads/many\\ncommitter A <a@b> %d +0000\\ndata 2\\nx\\n%s", n, n == 1 ? "from HEAD^0\\n" : "" }}'
    return f"awk '{commits}' | git fast-import --quiet; git update-ref HEAD refs/heads/many"


def processes_with(marker):
    """Pids of the processes whose command line or environment holds the marker: what an agent left behind."""
    found = []
    needle = marker.encode()
    for entry in pathlib.Path("/proc").iterdir():
        if not entry.name.isdigit() or int(entry.name) == os.getpid():
            continue
        try:
            if needle in (entry / "cmdline").read_bytes() or needle in (entry / "environ").read_bytes():
                state = (entry / "stat").read_text(encoding="ascii", errors="replace").rpartition(")")[2].split()[0]
                if state not in "ZX":
                    found.append(int(entry.name))
        except OSError:
            continue
    return found


class Gate:
    """Holds an agent back until it is opened."""

    def __init__(self, kiln):
        self.path = pathlib.Path(kiln.system.env["KILN_COMMAND_AGENTS_DIR"]) / f"gate-{uuid.uuid4().hex}"
        self.script = f"until [ -e {self.path} ]; do sleep 0.02; done"

    def open(self):
        self.path.touch()
