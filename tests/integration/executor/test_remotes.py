"""How a remote is asked: the short way where it speaks smart HTTP with protocol v2, by git where it does not."""
import http.client
import io
import urllib.parse

from kiln_testing.hostile import hostile  # noqa: F401  pylint: disable=unused-import
from kiln_testing.waiting import wait_for

READ = "cat >/dev/null; cat src/a.txt"


def passes_on(site, leaves_out=()):
    """What a server does that hands everything to the git server, but these headers."""
    target = urllib.parse.urlsplit(site.url)

    def pass_on(handler):
        body = handler.rfile.read(int(handler.headers.get("Content-Length") or 0))
        headers = {name: value for name, value in handler.headers.items() if name.lower() not in ("host", "connection", *leaves_out)}
        connection = http.client.HTTPConnection(target.hostname, target.port, timeout=60)
        connection.request(handler.command, handler.path, body, headers)
        answer = connection.getresponse()
        content = answer.read()
        connection.close()
        handler.send_response(answer.status)
        for name in ("Content-Type", "WWW-Authenticate"):
            if answer.headers[name]:
                handler.send_header(name, answer.headers[name])
        handler.send_header("Content-Length", str(len(content)))
        handler.end_headers()
        handler.wfile.write(content)

    return pass_on


def through(server, site, repository):
    """The repository's URL at the server, and a credential for it."""
    credential = site.credential(f"through-{urllib.parse.urlsplit(server.url).port}", url_prefix=server.url, username="kiln", token=site.system.env["KILN_GIT_TOKEN"])
    return repository.url.replace(site.url, server.url), {"credential": credential}


def asked(server):
    """The last part of each path that was asked for since the last time."""
    paths = [urllib.parse.urlsplit(path).path.rpartition("/")[2] for path, _ in server.requests]
    server.requests.clear()
    return paths


def run(executor, agents, url, git_fields):
    finished, _ = executor.run(url, agents.write(READ), git_fields=git_fields, auto_push=False)
    assert finished["outcome"] == "completed", finished
    return finished["result"]["output"]


def test_a_build_from_a_known_commit_costs_its_remote_one_request(executor, agents, site, hostile):  # noqa: F811
    server, repository = hostile(passes_on(site)), site.repository()
    url, git_fields = through(server, site, repository)
    assert run(executor, agents, url, git_fields) == "one\ntwo\nthree\n"
    server.requests.clear()
    assert run(executor, agents, url, git_fields) == "one\ntwo\nthree\n"
    assert asked(server) == ["git-upload-pack"]


def test_what_is_new_is_fetched(executor, agents, site, hostile):  # noqa: F811
    server, repository = hostile(passes_on(site)), site.repository()
    url, git_fields = through(server, site, repository)
    assert run(executor, agents, url, git_fields) == "one\ntwo\nthree\n"
    repository.seed({"src/a.txt": "changed\n"})
    assert run(executor, agents, url, git_fields) == "changed\n"


def test_an_attempt_is_accepted_before_its_remote_has_answered(executor, agents, site, hostile):  # noqa: F811
    server, repository = hostile(lambda handler: handler.server.stop.wait(120)), site.repository()
    url, git_fields = through(server, site, repository)
    attempt = executor.attempt(url, agents.write(READ), git_fields=git_fields).assign()
    attempt.wait("attempt.accepted")
    attempt.phase("preparing")
    wait_for(lambda: server.requests, "the remote to be asked")
    attempt.cancel()
    assert attempt.finished()["outcome"] == "cancelled"


def test_a_remote_that_does_not_know_protocol_2_is_asked_by_git(executor, agents, site, hostile):  # noqa: F811
    server, repository = hostile(passes_on(site, leaves_out=("git-protocol",))), site.repository()
    url, git_fields = through(server, site, repository)
    assert run(executor, agents, url, git_fields) == "one\ntwo\nthree\n"
    assert "refs" in asked(server)


def test_a_push_that_is_too_large_for_a_server_in_between_is_push_rejected(executor, agents, site, hostile):  # noqa: F811
    pass_on = passes_on(site)

    def takes_little(handler):
        size = int(handler.headers.get("Content-Length") or 0)
        if handler.path.endswith("/git-receive-pack") and size > 10_000:
            handler.rfile.read(size)
            handler.send_error(413)
        else:
            pass_on(handler)

    server, repository = hostile(takes_little), site.repository()
    base = repository.tip()
    url, git_fields = through(server, site, repository)
    finished, _ = executor.run(url, agents.write("cat >/dev/null; head -c 20000 /dev/urandom >big"), git_fields=git_fields)
    error = finished["result"]["error"]
    assert error["class"] == "push_rejected" and "413" in error["message"] and not finished["retryable"] and finished["closed"]
    assert repository.tip() == base


def listed_but_not_there(site, repository, tip):
    """What a server does whose first listing shows a branch that is gone by the second, which a fetch begins with, and back by the third."""
    steps = [lambda: None, lambda: site.server_git(repository, "update-ref", "-d", "refs/heads/main"), lambda: site.server_git(repository, "update-ref", "refs/heads/main", tip)]
    pass_on = passes_on(site)

    def changing(handler):
        body = handler.rfile.read(int(handler.headers.get("Content-Length") or 0))
        handler.rfile = io.BytesIO(body)
        if b"command=ls-refs" in body and steps:
            steps.pop(0)()
        pass_on(handler)

    return changing, steps


def test_a_branch_that_is_listed_and_then_not_there_before_the_agent_runs_is_tried_again(executor, agents, site, hostile):  # noqa: F811
    repository = site.repository()
    changing, steps = listed_but_not_there(site, repository, repository.tip())
    url, git_fields = through(hostile(changing), site, repository)
    finished, attempt = executor.run(url, agents.write(READ), git_fields=git_fields)
    assert len(steps) == 1 and "agent" not in attempt.phases()
    assert finished["result"]["error"]["class"] == "git_unreachable" and finished["retryable"], finished


def test_settling_looks_again_when_a_branch_is_listed_and_then_not_there(executor, agents, site, hostile):  # noqa: F811
    repository = site.repository()
    base = repository.tip()
    changing, steps = listed_but_not_there(site, repository, base)
    url, git_fields = through(hostile(changing), site, repository)
    end = {"status": "failed", "error": {"class": "worker_lost", "message": "gone"}}
    finished, _ = executor.run(
        url, agents.write(READ), git_fields=git_fields, attempt=2, mode="settle", base_sha=base, base_branch="main",
        earlier=[{"attempt": 1, "commit_sha": "1" * 40}], settle_end=end,
    )  # fmt: skip
    assert not steps and finished["closed"] and finished["result"]["error"]["class"] == "worker_lost", finished


def test_without_fences_a_tip_that_came_with_the_fetch_is_looked_at_before_anything_stands_on_it(executor, agents, site, hostile, place):  # noqa: F811
    """A push whose answer was lost comes to light between a look and the fetch for the rebase, merged by others and taken back."""
    repository = site.repository()
    site.server_git(repository, "config", "receive.advertiseAtomic", "false")
    base = repository.tip()

    def others(*parents):
        named = [argument for parent in parents for argument in ("-p", parent)]
        return site.server_git(repository, "commit-tree", f"{base}^{{tree}}", *named, "-m", "By others").strip()

    def move(tip):
        site.server_git(repository, "update-ref", "refs/heads/main", tip)

    one = others(base)
    two = others(one)
    repository.hook(
        "reference-transaction",
        f"[ $1 = committed ] && grep -q refs/heads/main && [ ! -e {place}/cut ] || exit 0; touch {place}/cut; "
        f"git update-ref refs/late refs/heads/main; git update-ref refs/heads/main {one}; kill -9 $PPID\n",
    )
    # As the branch is listed: by the look, by its fetch, and by the rebase's.
    steps = [lambda: None, lambda: move(two), lambda: move(others(two, "refs/late"))]
    pass_on = passes_on(site)

    def moving(handler):
        body = handler.rfile.read(int(handler.headers.get("Content-Length") or 0))
        handler.rfile = io.BytesIO(body)
        if b"command=ls-refs" in body and (place / "cut").exists() and steps:
            steps.pop(0)()
        pass_on(handler)

    url, git_fields = through(hostile(moving), site, repository)
    finished, attempt = executor.run(url, agents.write("cat >/dev/null; echo made >made.txt"), git_fields=git_fields)
    assert finished["published"] and not steps
    assert finished["result"]["commit_sha"] == site.server_git(repository, "rev-parse", "refs/late").strip()
    with repository.clone() as clone:
        assert clone.commits_of(attempt.build_id) == [finished["result"]["commit_sha"]]
