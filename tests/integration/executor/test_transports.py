"""Remotes as they are in production, over ssh and behind TLS; and where the credentials are meanwhile (docs/protocol.md section 7)."""
import base64
import contextlib
import os
import pathlib
import shutil
import stat

import pytest

from executing import waiting
from kiln_testing.hostile import hostile  # noqa: F401  pylint: disable=unused-import
from kiln_testing.private_ca import PrivateCa
from kiln_testing.services import tree
from kiln_testing.sshd import SshServer, make_key, public_key
from kiln_testing.system import free_folder
from kiln_testing.waiting import wait_for
from test_publishing import hangs_in
from test_remotes import passes_on, through

MAKE = "cat >/dev/null; cat a.txt; echo made >made.txt"
FILES = {"a.txt": "one\n"}


@pytest.fixture(scope="module")
def ssh():
    server = SshServer()
    yield server
    server.close()


@pytest.fixture
def ca():
    folder = free_folder("kiln-test-ca-")
    yield PrivateCa(folder)
    shutil.rmtree(folder)


def error_of(finished):
    return finished["result"]["error"]


def test_a_build_is_cloned_and_pushed_over_ssh(executor, agents, site, ssh):
    repository = ssh.repository("plain", FILES)
    base = repository.tip()
    finished, _ = executor.run(repository.url, agents.write(MAKE), git_fields={"credential": site.credential("ssh", **ssh.credential())})
    assert finished["published"] and finished["result"]["output"] == "one\n", finished
    assert repository.tip() == finished["result"]["commit_sha"] and repository.git("rev-parse", "main^") == base
    assert repository.git("show", "main:made.txt") == "made"


def test_a_second_build_fetches_over_ssh_what_the_first_has_pushed(executor, agents, site, ssh):
    repository = ssh.repository("twice", FILES)
    fields = {"credential": site.credential("ssh", **ssh.credential())}
    first, _ = executor.run(repository.url, agents.write("cat >/dev/null; echo two >a.txt"), git_fields=fields)
    second, _ = executor.run(repository.url, agents.write(MAKE), git_fields=fields)
    assert second["published"] and second["result"]["output"] == "two\n", second
    assert repository.git("rev-parse", "main^") == first["result"]["commit_sha"]


@pytest.mark.parametrize("hook", ["pre-receive", "reference-transaction"])
def test_a_lost_answer_is_looked_for_whatever_a_hook_has_said(executor, agents, site, ssh, place, hook):
    """In the words of who lets nobody in, when nothing has been sent. What git does not pass on of a hook comes over ssh as it is."""
    repository = ssh.repository(f"lost-answer-{hook}", FILES)
    says = r"printf '\nPermission denied (publickey).\nfatal: Could not read from remote repository.\n' >&2"
    after_the_update = f"[ $1 = committed ] && grep -q refs/heads/main && [ ! -e {place}/cut ] || exit 0; touch {place}/cut"
    repository.hook("pre-receive", f"cat >/dev/null; {says if hook == 'pre-receive' else 'exit 0'}\n")
    repository.hook("reference-transaction", f"{after_the_update}; {says if hook == 'reference-transaction' else ''}\nkill -9 $PPID\n")
    finished, _ = executor.run(repository.url, agents.write(MAKE), git_fields={"credential": site.credential("ssh", **ssh.credential())})
    assert finished["published"] and (place / "cut").exists(), finished
    assert repository.tip() == finished["result"]["commit_sha"]


def test_without_a_user_in_the_url_the_credentials_is_taken(executor, agents, site, ssh):
    repository = ssh.repository("userless", FILES)
    fields = {"credential": site.credential("ssh", **ssh.credential(username=ssh.user))}
    finished, _ = executor.run(repository.url_without_user, agents.write(MAKE), git_fields=fields)
    assert finished["published"] and repository.tip() == finished["result"]["commit_sha"], finished


def test_a_user_that_nobody_names_is_git(executor, agents, site, ssh):
    repository = ssh.repository("nameless", FILES)
    fields = {"credential": site.credential("ssh", **ssh.credential())}
    finished, _ = executor.run(repository.url_without_user, agents.write(MAKE), git_fields=fields)
    assert error_of(finished)["class"] == "git_auth" and "git@127.0.0.1: Permission denied" in error_of(finished)["message"], finished


def refused(executor, agents, site, repository, **credential):
    """The error of a build that its remote must not see, and not by a second try."""
    base = repository.tip()
    finished, attempt = executor.run(repository.url, agents.write(MAKE), git_fields={"credential": site.credential("ssh-refused", **credential)})
    assert repository.tip() == base and "agent" not in attempt.phases() and not finished["retryable"]
    return error_of(finished)


def test_another_host_key_than_the_known_one_is_git_auth(executor, agents, site, ssh, tmp_path):
    other = f"[127.0.0.1]:{ssh.port} {public_key(make_key(tmp_path / 'other'))}\n"
    error = refused(executor, agents, site, ssh.repository("other-host", FILES), **ssh.credential(known_hosts=other))
    assert error["class"] == "git_auth" and "Host key verification failed" in error["message"], error


def test_a_host_that_nobody_knows_is_git_auth(executor, agents, site, ssh):
    known = ssh.known_hosts.replace(f":{ssh.port} ", ":1 ")
    error = refused(executor, agents, site, ssh.repository("unknown-host", FILES), **ssh.credential(known_hosts=known))
    assert error["class"] == "git_auth" and "Host key verification failed" in error["message"], error


def test_a_key_that_the_server_does_not_take_is_git_auth(executor, agents, site, ssh, tmp_path):
    key = make_key(tmp_path / "stranger").read_text(encoding="ascii")
    error = refused(executor, agents, site, ssh.repository("stranger", FILES), **ssh.credential(ssh_private_key=key))
    assert error["class"] == "git_auth" and "Permission denied" in error["message"], error


def files_with(folder, *secrets):
    """Files below the folder in which one of these stands: configuration, logs, whatever there is."""
    found = []
    for inside, _, names in os.walk(folder):  # attempts make and remove folders and files meanwhile
        for path in (pathlib.Path(inside, name) for name in names):
            with contextlib.suppress(OSError):
                if path.is_file() and not path.is_symlink() and any(secret in path.read_bytes() for secret in secrets):
                    found.append(path)
    return found


def exposed(pids, *secrets):
    """Those of them whose command line or environment has one of these."""
    found = []
    for pid in pids:
        for name in ("cmdline", "environ"):
            with contextlib.suppress(FileNotFoundError, ProcessLookupError):
                content = pathlib.Path("/proc", str(pid), name).read_bytes()
                found += [(pid, name, content[:200]) for secret in secrets if secret in content]
    return found


def names_of(pids):
    found = set()
    for pid in pids:
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):
            found.add(pathlib.Path("/proc", str(pid), "comm").read_text(encoding="ascii").strip())
    return found


def lines_of(key):
    """What of a private key is nobody else's: without the marks around it and the line that all keys begin with."""
    return [line.encode() for line in key.splitlines()[2:-1]]


def test_an_ssh_key_is_in_a_private_file_and_nowhere_else_for_as_long_as_git_needs_it(executor, agents, site, ssh, place):
    repository = ssh.repository("secrets", FILES)
    repository.hook("pre-receive", hangs_in(place, "push"))
    secrets = lines_of(ssh.credential()["ssh_private_key"])
    fields = {"credential": site.credential("ssh", **ssh.credential())}
    attempt = executor.attempt(repository.url, agents.write(waiting(place, MAKE)), git_fields=fields).assign()
    attempt.phase("agent")
    assert files_with(executor.state, *secrets) == []  # the agent runs, no git does
    (place / "go").touch()
    wait_for((place / "pushing").exists, "the push to be under way")
    pids = tree(executor.child_of(attempt))
    assert {"git", "ssh"} <= names_of(pids) and exposed(pids, *secrets) == []
    (key,) = files_with(executor.state, *secrets)
    assert stat.S_IMODE(key.stat().st_mode) == 0o600
    (place / "push").touch()
    assert attempt.finished()["published"]
    assert not key.exists() and files_with(executor.state, *secrets) == []


def test_a_token_is_in_no_command_line_environment_or_file_while_a_push_hangs(executor, agents, site, place):
    repository = site.repository()
    repository.hook("pre-receive", hangs_in(place, "push"))
    token = site.system.env["KILN_GIT_TOKEN"].encode()
    secrets = (token, base64.b64encode(b"kiln:" + token).rstrip(b"="))
    attempt = executor.attempt(repository, agents.write("cat >/dev/null; echo made >made.txt")).assign()
    wait_for((place / "pushing").exists, "the push to be under way")
    pids = tree(executor.child_of(attempt))
    assert {"git", "git-remote-http"} <= names_of(pids)
    assert exposed(pids, *secrets) == [] and files_with(executor.state, *secrets) == []
    (place / "push").touch()
    assert attempt.finished()["published"]


def test_behind_tls_a_build_is_cloned_and_pushed_with_the_ca_that_the_executor_is_told(own_executor, agents, site, hostile, ca):  # noqa: F811
    executor = own_executor(SSL_CERT_FILE=str(ca.cert))
    server, repository = hostile(passes_on(site), tls=ca.server_context()), site.repository(**FILES)
    url, fields = through(server, site, repository)
    assert url.startswith("https://")
    finished, _ = executor.run(url, agents.write(MAKE), git_fields=fields)
    assert finished["published"] and finished["result"]["output"] == "one\n", finished
    assert repository.tip() == finished["result"]["commit_sha"]


def test_behind_tls_with_a_ca_that_nobody_knows_a_build_is_git_unreachable(executor, agents, site, hostile, ca):  # noqa: F811
    server, repository = hostile(passes_on(site), tls=ca.server_context()), site.repository(**FILES)
    url, fields = through(server, site, repository)
    finished, attempt = executor.run(url, agents.write(MAKE), git_fields=fields)
    assert error_of(finished)["class"] == "git_unreachable" and "certificate" in error_of(finished)["message"], finished
    assert "agent" not in attempt.phases() and server.requests == []


def test_a_certificate_for_another_host_is_git_unreachable_whoever_has_signed_it(own_executor, agents, site, hostile, ca):  # noqa: F811
    executor = own_executor(SSL_CERT_FILE=str(ca.cert))
    server, repository = hostile(passes_on(site), tls=ca.server_context("DNS:elsewhere.example")), site.repository(**FILES)
    url, fields = through(server, site, repository)
    finished, _ = executor.run(url, agents.write(MAKE), git_fields=fields)
    assert error_of(finished)["class"] == "git_unreachable" and "certificate" in error_of(finished)["message"], finished
    assert server.requests == []
