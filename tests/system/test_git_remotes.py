"""Remotes that are missing, empty or closed, and pushes that somebody else interferes with."""

import http.server
import json
import pathlib
import threading
import uuid

import pytest
from kiln_testing.agents import Gate
from kiln_testing.repositories import unused_port

RAN = "echo the agent ran; echo x > x.txt"


def credential(kiln, name=None, **content):
    """A credential's file, with the default one's content where nothing else is said; its name."""
    folder = pathlib.Path(kiln.system.env["KILN_CREDENTIALS_DIR"])
    known = json.loads((folder / f"{kiln.system.env['KILN_GIT_CREDENTIAL']}.json").read_text())
    name = name or f"test-{uuid.uuid4().hex[:12]}"
    path = folder / f"{name}.json"
    path.write_text(json.dumps(known | content))
    kiln.system.give(path, 0o600)
    return name


def test_an_empty_repository_is_a_valid_start(kiln):
    project, repository = kiln.seeded()
    repository.folder.joinpath("refs/heads/main").unlink()
    assert repository.refs() == {}
    build = kiln.wait_end(kiln.run(project, RAN, auto_commit=True, auto_push=True))
    assert build["status"] == "completed" and repository.tip("main") == build["result"]["commit_sha"]


def test_a_missing_repository_under_the_base_is_made_by_the_first_push(kiln):
    project = kiln.project()
    build = kiln.wait_end(kiln.run(project, RAN, auto_commit=True, auto_push=True))
    assert build["status"] == "completed" and kiln.repository(project).tip("main") == build["result"]["commit_sha"]


class HasNothing(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_error(404)

    do_POST = do_GET

    def log_message(self, *_):
        pass


@pytest.fixture
def elsewhere():
    """The URL of a server that has no repository, and is not the base."""
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), HasNothing) as server:
        threading.Thread(target=server.serve_forever).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


def test_a_missing_repository_elsewhere_fails_before_the_agent_starts(kiln, elsewhere):
    project = kiln.project(git_url=f"{elsewhere}/nobody/made.git", credential=credential(kiln, url_prefix=elsewhere))
    task = kiln.run(project, RAN, max_attempts=1)
    assert kiln.error_class(task) == "git_unreachable"
    assert "the agent ran" not in kiln.log_text(task)


def test_an_unreachable_remote_is_git_unreachable(kiln):
    project = kiln.project(git_url=f"http://127.0.0.1:{unused_port()}/x.git")
    assert kiln.error_class(kiln.run(project, RAN, max_attempts=1)) == "git_unreachable"


def test_a_host_that_does_not_resolve_is_git_unreachable(kiln):
    project = kiln.project(git_url="https://nobody.invalid/x.git")
    # Name servers that do not answer are each asked several times.
    assert kiln.error_class(kiln.run(project, RAN, max_attempts=1), 200) == "git_unreachable"


def test_a_wrong_token_is_git_auth(kiln):
    project, _ = kiln.seeded()
    other = kiln.project(git_url=project["git_url"], credential=credential(kiln, token="wrong"))
    assert kiln.error_class(kiln.run(other, RAN)) == "git_auth"


def test_a_remote_that_wants_a_credential_and_gets_none_is_git_auth(kiln):
    project, _ = kiln.seeded()
    other = kiln.project(git_url=project["git_url"])
    task = kiln.run(other, RAN)
    assert kiln.error_class(task) == "git_auth"
    assert kiln.build(task)["result"]["error"]["message"].endswith("it asks for a user and a password, and there is no credential for it")


def test_a_credential_that_does_not_exist_is_git_auth(kiln):
    project, _ = kiln.seeded()
    other = kiln.project(git_url=project["git_url"], credential="nobody-wrote-this")
    assert kiln.error_class(kiln.run(other, RAN)) == "git_auth"


def test_a_credential_of_other_projects_is_git_auth(kiln):
    project, _ = kiln.seeded()
    name = credential(kiln, projects=["somebody-else"])
    other = kiln.project(git_url=project["git_url"], credential=name)
    assert kiln.error_class(kiln.run(other, RAN)) == "git_auth"


def test_a_credential_is_sent_only_below_its_prefix(kiln, hostile):
    def ask(handler):
        handler.send_response(401)
        handler.send_header("WWW-Authenticate", 'Basic realm="give me all"')
        handler.end_headers()

    server = hostile(ask)
    project = kiln.project(git_url=f"{server.url}/x.git", credential=kiln.system.env["KILN_GIT_CREDENTIAL"])
    assert kiln.error_class(kiln.run(project, RAN)) == "git_auth"
    assert not [headers for _, headers in server.requests if "Authorization" in headers]


def test_a_prefix_ends_at_a_slash(kiln):
    project, _ = kiln.seeded()
    cut = project["git_url"].removesuffix(".git")[:-1]
    other = kiln.project(git_url=project["git_url"], credential=credential(kiln, url_prefix=cut))
    assert kiln.error_class(kiln.run(other, RAN)) == "git_auth"
    whole = kiln.project(git_url=project["git_url"], credential=credential(kiln, url_prefix=project["git_url"]))
    assert kiln.wait_end(kiln.run(whole, RAN))["status"] == "completed"


@pytest.mark.parametrize("status", [403, 404, 500, 503])
def test_a_remote_that_refuses_fails_the_build(kiln, hostile, status):
    def refuse(handler):
        handler.send_response(status)
        handler.end_headers()

    project = kiln.project(git_url=f"{hostile(refuse).url}/x.git")
    assert kiln.error_class(kiln.run(project, RAN, max_attempts=1)) in ("git_unreachable", "git_auth")


def test_a_hook_that_declines_is_push_rejected(kiln):
    project, repository = kiln.seeded()
    before = repository.tip()
    repository.hook("pre-receive", "echo 'policy: no' >&2; exit 1")
    task = kiln.run(project, RAN, auto_commit=True, auto_push=True)
    assert kiln.error_class(task) == "push_rejected"
    assert repository.tip() == before and kiln.build(task)["attempts_used"] == 1


def test_somebody_elses_push_in_between_is_rebased_onto(kiln):
    project, repository = kiln.seeded()
    gate = Gate(kiln)
    task = kiln.run(project, f"echo mine > mine.txt; {gate.script}", auto_commit=True, auto_push=True)
    kiln.wait_phase(task, "agent")
    theirs = repository.seed({"theirs.txt": "theirs\n"}, message="Theirs")
    gate.open()
    build = kiln.wait_end(task)
    assert build["status"] == "completed"
    with repository.clone() as clone:
        assert {"mine.txt", "theirs.txt"} <= set(clone.files())
        assert clone.git("rev-parse", "HEAD^") == theirs
        assert clone.commits_of(task) == [build["result"]["commit_sha"]]


def test_a_conflicting_push_in_between_is_git_conflict(kiln):
    project, repository = kiln.seeded()
    gate = Gate(kiln)
    task = kiln.run(project, f"echo mine > README.md; {gate.script}", auto_commit=True, auto_push=True)
    kiln.wait_phase(task, "agent")
    theirs = repository.seed({"README.md": "theirs\n"}, message="Theirs")
    gate.open()
    assert kiln.error_class(task) == "git_conflict"
    assert repository.tip() == theirs
