"""A private Docker engine: its own dockerd, socket, data and images, gone at the end."""
import contextlib
import os
import pathlib
import shutil
import signal
import subprocess
import tempfile

from kiln_testing.waiting import wait_for

CHAINS = ("DOCKER-USER", "DOCKER-ISOLATION-STAGE-1", "DOCKER-ISOLATION-STAGE-2", "DOCKER")


def run(*command, **options):
    """Output on failure only."""
    result = subprocess.run(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False, **options)
    assert result.returncode == 0, f"{' '.join(map(str, command))}: exit {result.returncode}\n{result.stdout[-6000:]}"
    return result.stdout


def install(programs):
    """Debian packages of the programs that are missing."""
    missing = [package for program, package in programs.items() if shutil.which(program, path=os.environ["PATH"] + ":/usr/sbin:/sbin") is None]
    if missing:
        env = os.environ | {"DEBIAN_FRONTEND": "noninteractive"}
        run("apt-get", "-q", "update", env=env)
        run("apt-get", "-q", "-y", "-o", "DPkg::Lock::Timeout=600", "install", "--no-install-recommends", *missing, env=env)


class Engine:
    def __init__(self):
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="kiln-docker-", dir="/var/tmp"))
        self.env = os.environ | {
            "DOCKER_HOST": f"unix://{self.folder}/docker.sock",
            "DOCKER_CONFIG": str(self.folder / "config"),
            "DOCKER_BUILDKIT": "0",
            "COMPOSE_DOCKER_CLI_BUILD": "0",
            "PATH": os.environ["PATH"] + ":/usr/sbin:/sbin",
        }
        # Does another engine use the tables of this machine? Then they stay as they are.
        self.others = self._iptables("-n", "-L", "DOCKER").returncode == 0
        self.forward = self._iptables("-S", "FORWARD").stdout.splitlines()[:1]
        self.process = None

    def _iptables(self, *arguments):
        return subprocess.run(["iptables", *arguments], env=self.env, capture_output=True, text=True, check=False)

    def start(self):
        with (self.folder / "log").open("wb") as log:
            self.process = subprocess.Popen(  # ended by stop
                ["dockerd", "--data-root", f"{self.folder}/data", "--exec-root", f"{self.folder}/exec", "--pidfile", f"{self.folder}/pid",
                 "--host", self.env["DOCKER_HOST"], "--bridge", "none", "--default-address-pool", "base=172.30.0.0/16,size=24"],
                env=self.env, stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT, start_new_session=True,
            )  # fmt: skip
        wait_for(self._answers, f"dockerd to answer, log {self.folder}/log", deadline=60, poll=0.2)
        return self

    def _answers(self):
        assert self.process.poll() is None, (self.folder / "log").read_text(encoding="utf-8", errors="replace")[-3000:]
        return subprocess.run(["docker", "info"], env=self.env, capture_output=True, check=False).returncode == 0

    def docker(self, *arguments, **options):
        return run("docker", *arguments, env=self.env, **options)

    def import_base(self, cache, name):
        """debian:bookworm-slim by debootstrap; its archive is kept in `cache`."""
        archive = pathlib.Path(cache) / "debian-bookworm-minbase.tar"
        if not archive.exists():
            root = self.folder / "root"
            run("debootstrap", "--variant=minbase", "bookworm", str(root), "http://deb.debian.org/debian", env=self.env)
            # The updates and security fixes, as in the official image.
            (root / "etc/apt/sources.list").write_text(
                "".join(f"deb http://deb.debian.org/{where} main\n" for where in ("debian bookworm", "debian bookworm-updates", "debian-security bookworm-security")),
                encoding="ascii",
            )
            archive.parent.mkdir(parents=True, exist_ok=True)
            partial = archive.with_suffix(f".{os.getpid()}")
            run("tar", "-C", str(root), "--exclude=./var/cache/apt/archives/*.deb", "-cf", str(partial), ".")
            partial.rename(archive)
            shutil.rmtree(root)
        self.docker("import", "--change", 'CMD ["bash"]', str(archive), name)

    def build(self, folder, name):
        # The host's network: this engine has no bridge of its own outside of compose.
        self.docker("build", "--network", "host", "-t", name, str(folder))

    def stop(self):
        if self.process is not None and self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            try:
                self.process.wait(60)
            except subprocess.TimeoutExpired:
                os.killpg(self.process.pid, signal.SIGKILL)
        if not self.others:
            self._remove_chains()
        for line in pathlib.Path("/proc/mounts").read_text(encoding="utf-8").splitlines():
            if str(self.folder) in line:
                subprocess.run(["umount", "-l", line.split()[1]], check=False, capture_output=True)
        shutil.rmtree(self.folder, ignore_errors=True)

    def _remove_chains(self):
        """dockerd leaves its chains in the tables, and a policy that forwards nothing."""
        for table, hook in (("filter", "FORWARD"), ("nat", "PREROUTING"), ("nat", "OUTPUT"), ("nat", "POSTROUTING")):
            for rule in self._iptables("-t", table, "-S", hook).stdout.splitlines():
                if "docker" in rule.lower():
                    self._iptables("-t", table, *rule.replace("-A", "-D", 1).split())
        for table in ("filter", "nat"):
            for action in ("-F", "-X"):
                for chain in CHAINS:
                    self._iptables("-t", table, action, chain)
        for policy in self.forward:
            self._iptables(*policy.split())


@contextlib.contextmanager
def engine():
    one = Engine()
    try:
        yield one.start()
    finally:
        one.stop()
