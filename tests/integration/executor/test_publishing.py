"""Publishing when the remote does not hold still (docs/protocol.md section 7)."""
import contextlib
import os
import signal
import uuid

import pytest

from executing import LOSES_ITS_ANSWER, waiting
from kiln_testing.agents import many_commits
from kiln_testing.relay import KafkaRelay, Relay
from kiln_testing.repositories import unused_port
from kiln_testing.waiting import wait_for

MAKE = "cat >/dev/null; echo made >made.txt"
EMPTY = "e69de29bb2d1d6434b8b29ae775ad8c2e48c5391"


def error_of(finished):
    return finished["result"]["error"]["class"]


def push_with(attempt, repository, files, **more):
    """Lets somebody else push while the agent runs."""
    attempt.phase("agent")
    return repository.seed(files, **more)


def hangs_in(place, until="go"):
    """A hook that says when it is there, and goes on when the test says so."""
    return f"cat >/dev/null; touch {place}/pushing; while [ ! -e {place}/{until} ]; do sleep 0.02; done\n"


def test_a_branch_that_moved_is_rebased_upon(executor, agents, site, place):
    repository = site.repository()
    attempt = executor.attempt(repository, agents.write(waiting(place, "echo made >made.txt"))).assign()
    other = push_with(attempt, repository, {"other.txt": "by somebody else\n"})
    (place / "go").touch()
    finished = attempt.finished()
    assert finished["published"]
    with repository.clone() as clone:
        assert clone.git("rev-parse", "HEAD^") == other
        assert clone.files() == ["README.md", "made.txt", "other.txt", "src/a.txt"]
        assert clone.commits_of(attempt.build_id) == [finished["result"]["commit_sha"]]
    assert finished["result"]["files_changed"] == [{"path": "made.txt", "status": "added", "added": 1, "deleted": 0}]
    announced = [record.data["commit_sha"] for record in executor.service.seen(type="attempt.phase", phase="pushing", **attempt.token)]
    assert announced[-1] == finished["result"]["commit_sha"] and len(announced) == 2


def test_several_commits_of_the_agent_are_rebased_one_by_one(executor, agents, site, place):
    repository = site.repository()
    then = "for n in 1 2 3; do echo $n >$n; git add $n; git commit -q -m \"Number $n\"; done"
    attempt = executor.attempt(repository, agents.write(waiting(place, then))).assign()
    other = push_with(attempt, repository, {"other.txt": "x\n"})
    (place / "go").touch()
    assert attempt.finished()["published"]
    with repository.clone() as clone:
        assert clone.git("log", "--format=%s", f"{other}..HEAD").splitlines() == ["Number 3", "Number 2", "Number 1"]


def test_more_commits_than_can_be_rebased_one_by_one_become_one(executor, agents, site, place):
    """The agent's are as many as are taken over, and Kiln's own comes on top."""
    repository = site.repository()
    then = f"{many_commits(10_000)}; echo made >made.txt"
    attempt = executor.attempt(repository, agents.write(waiting(place, then))).assign()
    other = push_with(attempt, repository, {"other.txt": "by somebody else\n"})
    (place / "go").touch()
    finished = attempt.finished()
    assert finished["published"], finished
    with repository.clone() as clone:
        assert clone.git("rev-parse", "HEAD^") == other
        assert clone.files() == ["README.md", "made.txt", "other.txt", "src/a.txt"]
        assert clone.commits_of(attempt.build_id) == [finished["result"]["commit_sha"]]
    assert len([record for record in executor.service.seen(type="attempt.phase", phase="pushing", **attempt.token)]) == 2


def test_a_conflict_ends_as_git_conflict_and_leaves_the_branch_alone(executor, agents, site, place):
    repository = site.repository()
    attempt = executor.attempt(repository, agents.write(waiting(place, "echo mine >README.md"))).assign()
    other = push_with(attempt, repository, {"README.md": "theirs\n"})
    (place / "go").touch()
    finished = attempt.finished()
    assert finished["outcome"] == "failed" and error_of(finished) == "git_conflict" and "README.md" in finished["result"]["error"]["message"]
    assert repository.tip() == other and finished["closed"]


def test_changes_that_are_on_the_branch_already_need_no_push(executor, agents, site, place):
    repository = site.repository()
    attempt = executor.attempt(repository, agents.write(waiting(place, "echo same >same.txt"))).assign()
    other = push_with(attempt, repository, {"same.txt": "same\n"})
    (place / "go").touch()
    finished = attempt.finished()
    assert finished["outcome"] == "completed" and finished["result"]["commit_sha"] is None and repository.tip() == other


def test_many_builds_of_one_branch_at_once_are_all_published_once(executor, agents, site):
    repository = site.repository()
    command = agents.write("cat >/dev/null; echo x >$KILN_BUILD_ID")
    attempts = []
    for _ in range(6):
        for _ in range(2):
            attempts.append(executor.attempt(repository, command).assign())
        for attempt in attempts[-2:]:
            assert attempt.finished()["published"]
            attempt.release()
    with repository.clone() as clone:
        for attempt in attempts:
            assert len(clone.commits_of(attempt.build_id)) == 1
        assert clone.git("rev-list", "--count", "HEAD") == "13"


def test_a_hook_that_declines_is_push_rejected(executor, agents, site):
    repository = site.repository()
    base = repository.tip()
    repository.hook("pre-receive", "cat >/dev/null; echo no such pushes here >&2; exit 1\n")
    finished, _ = executor.run(repository, agents.write(MAKE))
    assert error_of(finished) == "push_rejected" and not finished["retryable"] and finished["closed"]
    assert repository.tip() == base


def test_a_hook_that_declines_in_the_words_of_a_server_without_atomic_pushes_is_push_rejected(executor, agents, site):
    """Its words may be the agent's, when it repeats a commit's message."""
    repository = site.repository()
    base = repository.tip()
    repository.hook("pre-receive", "cat >/dev/null; echo fatal: the receiving end does not support --atomic push >&2; exit 1\n")
    finished, attempt = executor.run(repository, agents.write(MAKE))
    assert error_of(finished) == "push_rejected" and not finished["retryable"] and finished["closed"] and repository.tip() == base
    assert not [line for line in attempt.lines("kiln") if "cannot keep a fence" in line]


@pytest.mark.parametrize("there, wanted", [("main", "main/x"), ("a/b", "a")])
def test_a_branch_that_cannot_be_beside_another_fails_before_the_agent(executor, agents, site, there, wanted):
    """Beside the default branch, or one that is below it."""
    repository = site.repository()
    if there != "main":
        repository.seed({"b.txt": "b\n"}, branch=there)
    finished, attempt = executor.run(repository, agents.write(MAKE), branch=wanted)
    assert error_of(finished) == "push_rejected" and not finished["retryable"] and "agent" not in attempt.phases()
    assert f'"{wanted}"' in finished["result"]["error"]["message"] and f'"{there}"' in finished["result"]["error"]["message"]


def test_a_branch_in_the_way_that_somebody_makes_meanwhile_ends_the_publishing(executor, agents, site, place):
    repository = site.repository()
    attempt = executor.attempt(repository, agents.write(waiting(place, "echo made >made.txt")), branch="a/b").assign()
    push_with(attempt, repository, {"other.txt": "x\n"}, branch="a")
    (place / "go").touch()
    finished = attempt.finished()
    assert error_of(finished) == "push_rejected" and not finished["retryable"] and finished["closed"] and '"a"' in finished["result"]["error"]["message"]


def test_what_the_remote_does_not_take_in_is_push_rejected_after_a_second_try(executor, agents, site):
    repository = site.repository()
    base = repository.tip()
    site.server_git(repository, "config", "receive.maxInputSize", "1k")
    finished, attempt = executor.run(repository, agents.write("cat >/dev/null; head -c 20000 /dev/urandom >big"))
    assert error_of(finished) == "push_rejected" and not finished["retryable"] and finished["closed"] and repository.tip() == base
    assert "exceeds maximum allowed size" in finished["result"]["error"]["message"]
    wait_for(lambda: sum("trying once more" in line for line in attempt.lines()) == 1, "one more try in the log")


def test_a_fence_that_holds_a_commit_is_the_publication(executor, agents, site):
    repository = site.repository()
    base = repository.tip()
    build, ran = str(uuid.uuid4()), agents.write("touch ran; cat >/dev/null")
    published = repository.seed({"by-attempt-1.txt": "x\n"})
    site.server_git(repository, "update-ref", f"refs/kiln/builds/{build}", published)
    repository.seed({"later.txt": "y\n"})
    earlier = [{"attempt": 1, "commit_sha": None}]
    finished, attempt = executor.run(repository, ran, build_id=build, attempt=2, base_sha=base, base_branch="main", earlier=earlier)
    assert finished["outcome"] == "completed" and finished["published"] and finished["result"]["commit_sha"] == published
    assert finished["result"]["agent"] is None and "agent" not in attempt.phases()
    assert [change["path"] for change in finished["result"]["files_changed"]] == ["by-attempt-1.txt"]


def test_without_a_fence_an_announced_commit_on_the_branch_is_the_publication(executor, agents, site):
    repository = site.repository()
    first, attempt = executor.run(repository, agents.write(MAKE))
    attempt.release()
    wait_for(lambda: len(repository.refs()) == 2, "the fence to be deleted")
    base = attempt.phase("agent").data["base_sha"]
    earlier = [{"attempt": 1, "commit_sha": first["result"]["commit_sha"]}]
    second, again = executor.run(
        repository, agents.write("exit 9"), build_id=attempt.build_id, attempt=2, base_sha=base, base_branch="main", earlier=earlier
    )  # fmt: skip
    assert second["published"] and second["result"]["commit_sha"] == first["result"]["commit_sha"] and "agent" not in again.phases()


def test_somebody_elses_announced_commit_is_not_adopted(executor, agents, site):
    repository = site.repository()
    base = repository.tip()
    foreign = repository.seed({"foreign.txt": "x\n"})
    finished, attempt = executor.run(
        repository, agents.write(MAKE), attempt=2, base_sha=base, base_branch="main", earlier=[{"attempt": 1, "commit_sha": foreign}]
    )  # fmt: skip
    assert finished["published"] and finished["result"]["commit_sha"] != foreign and "agent" in attempt.phases()


def test_a_closing_mark_keeps_a_late_attempt_from_publishing(executor, agents, site, place):
    repository = site.repository()
    base = repository.tip()
    attempt = executor.attempt(repository, agents.write(waiting(place, "echo late >late.txt"))).assign()
    attempt.phase("agent")
    mark = site.server_git(repository, "hash-object", "-w", "-t", "blob", "/dev/null").strip()
    site.server_git(repository, "update-ref", f"refs/kiln/builds/{attempt.build_id}", mark)
    (place / "go").touch()
    finished = attempt.finished()
    assert mark == EMPTY and finished["outcome"] == "failed" and finished["closed"] and repository.tip() == base


SETTLE_END = {"status": "failed", "error": {"class": "worker_lost", "message": "the worker was lost"}}


def test_settling_adopts_what_the_fence_shows(executor, site):
    repository = site.repository()
    base = repository.tip()
    published = repository.seed({"x.txt": "x\n"})
    build = str(uuid.uuid4())
    site.server_git(repository, "update-ref", f"refs/kiln/builds/{build}", published)
    finished, _ = executor.run(
        repository, build_id=build, attempt=2, mode="settle", base_sha=base, base_branch="main", earlier=[{"attempt": 1, "commit_sha": published}],
        settle_end=SETTLE_END,
    )  # fmt: skip
    assert finished["outcome"] == "completed" and finished["published"] and finished["result"]["commit_sha"] == published


@pytest.mark.parametrize("status", ["failed", "cancelled"])
def test_settling_closes_a_build_of_which_nothing_is_there(executor, site, status):
    repository = site.repository()
    base = repository.tip()
    end = SETTLE_END if status == "failed" else {"status": "cancelled", "error": {"class": "cancelled", "message": "cancelled"}}
    finished, attempt = executor.run(
        repository, attempt=2, mode="settle", base_sha=base, base_branch="main", earlier=[{"attempt": 1, "commit_sha": "1" * 40}], settle_end=end
    )  # fmt: skip
    assert finished["outcome"] == status and error_of(finished) == end["error"]["class"] and finished["closed"] and not finished["published"]
    assert repository.refs()[f"refs/kiln/builds/{attempt.build_id}"] == EMPTY
    again, _ = executor.run(
        repository, build_id=attempt.build_id, attempt=3, mode="settle", base_sha=base, base_branch="main", earlier=[{"attempt": 1, "commit_sha": "1" * 40}],
        settle_end=end,
    )  # fmt: skip
    assert again["closed"] and again["outcome"] == status


def test_a_remote_that_hides_the_fence_is_published_to_under_the_weaker_guarantee(executor, agents, site):
    repository = site.repository()
    site.server_git(repository, "config", "transfer.hideRefs", "refs/kiln")
    finished, attempt = executor.run(repository, agents.write(MAKE))
    assert finished["published"] and repository.tip() == finished["result"]["commit_sha"]
    assert not [ref for ref in site.server_git(repository, "for-each-ref", "--format=%(refname)").splitlines() if attempt.build_id in ref]


def test_a_remote_without_atomic_pushes_is_published_to_under_the_weaker_guarantee(executor, agents, site):
    repository = site.repository()
    site.server_git(repository, "config", "receive.advertiseAtomic", "false")
    finished, _ = executor.run(repository, agents.write(MAKE))
    assert finished["published"] and repository.tip() == finished["result"]["commit_sha"]


def test_a_cancel_during_the_push_waits_for_its_outcome_which_wins(executor, agents, site, place):
    repository = site.repository()
    repository.hook("pre-receive", hangs_in(place))
    attempt = executor.attempt(repository, agents.write(MAKE)).assign()
    wait_for((place / "pushing").exists, "the push to be under way")
    executor.next_heartbeat_behind(attempt.cancel())
    (place / "go").touch()
    finished = attempt.finished()
    assert finished["outcome"] == "completed" and finished["published"] and repository.tip() == finished["result"]["commit_sha"]


@pytest.mark.parametrize("cancelled", [False, True])
def test_what_a_child_that_died_was_pushing_is_looked_for_and_closed_only_when_nobody_repeats_it(executor, agents, site, place, cancelled):
    repository = site.repository()
    repository.hook("pre-receive", hangs_in(place))
    attempt = executor.attempt(repository, agents.write(MAKE)).assign()
    wait_for((place / "pushing").exists, "the push to be under way")
    if cancelled:
        executor.next_heartbeat_behind(attempt.cancel())
    os.kill(executor.child_of(attempt), signal.SIGKILL)
    (place / "go").touch()
    finished = attempt.finished()
    fence = repository.refs().get(f"refs/kiln/builds/{attempt.build_id}")
    if finished["published"]:
        assert repository.refs()["refs/heads/main"] == fence == finished["result"]["commit_sha"]
    elif cancelled:
        assert finished["outcome"] == "cancelled" and finished["closed"] and fence == EMPTY
    else:
        assert finished["outcome"] == "failed" and finished["retryable"] and not finished["closed"] and fence != EMPTY
    assert not attempt.processes()


def test_what_a_dead_child_said_last_is_not_counted_against_the_one_that_settles(own_executor, agents, site, place, infra):
    """Kafka acknowledges it to the second child, whose result is longer than what fits between it and the daemon."""
    repository = site.repository()
    (kafka, brokers), (git, url) = KafkaRelay.of_brokers(infra.brokers), Relay.of_url(repository.url)
    with contextlib.closing(kafka), contextlib.closing(git):
        site.credential("relayed", url_prefix=url, username="kiln", token=infra.env["KILN_GIT_TOKEN"])
        # Rare heartbeats: a few requests without an answer are all that a producer has.
        executor = own_executor(KILN_KAFKA_BROKERS=brokers, KILN_HEARTBEAT_MS="2000")
        attempt = executor.attempt(url, agents.write(waiting(place, "echo made >made.txt")), git_fields={"credential": "relayed"}).assign()
        published = push_with(attempt, repository, {f"{'long' * 50}{n}": "x\n" for n in range(5000)})
        site.server_git(repository, "update-ref", f"refs/kiln/builds/{attempt.build_id}", published)
        with kafka.stalled():
            (place / "go").touch()
            attempt.phase("pushing")
            git.set_mode("stall")
            os.kill(executor.child_of(attempt), signal.SIGKILL)
            wait_for(lambda: "settling what a dead child was pushing" in executor.log(), "the second child")
        executor.next_heartbeat()  # and with it all that Kafka had not answered
        git.set_mode("pass")
        finished = attempt.finished()
        assert finished["published"] and finished["result"]["commit_sha"] == published and len(finished["result"]["files_changed"]) > 3000


def test_a_remote_that_is_slow_before_the_first_announcement_is_not_the_agents_fault(own_executor, agents, site, place):
    """A later attempt looks at the remote before it announces a commit: longer than committing may take."""
    executor = own_executor(KILN_COMMIT_TIMEOUT_MS="8000", KILN_GIT_TIMEOUT_MS="10000", KILN_PUBLISH_TIMEOUT_MS="10000")
    repository = site.repository()
    git, url = Relay.of_url(repository.url)
    with contextlib.closing(git):
        site.credential("relayed", url_prefix=url, username="kiln", token=site.system.env["KILN_GIT_TOKEN"])
        attempt = executor.attempt(
            url, agents.write(waiting(place, "echo made >made.txt")), git_fields={"credential": "relayed"}, attempt=2, base_sha=repository.tip(),
            base_branch="main", earlier=[{"attempt": 1, "commit_sha": "1" * 40}],
        ).assign()  # fmt: skip
        attempt.phase("agent")
        git.set_mode("stall")
        (place / "go").touch()
        finished = attempt.finished()
        assert error_of(finished) == "git_unreachable" and finished["retryable"] and "pushing" not in attempt.phases()


def test_the_time_of_a_store_that_hangs_is_not_the_commits(own_executor, agents, site, place):
    """It is stopped while something is put into it, for longer than committing may take."""
    executor = own_executor(KILN_COMMIT_TIMEOUT_MS="2000", KILN_ARTIFACTS_TIMEOUT_MS="2000", KILN_ARTIFACTS_DIR=str(place))
    left = "cat >/dev/null; echo made >made.txt; echo 'big*' >.gitignore; truncate -s 250M big1 big2 big3"
    attempt = executor.attempt(site.repository(), agents.write(left), artifacts=["big*"]).assign()

    def stop():
        with contextlib.suppress(ProcessLookupError):  # it may have just ended: three are put
            for pid in attempt.aside():
                os.kill(pid, signal.SIGSTOP)
                return True
        return False

    wait_for(stop, "something to be put", poll=0.005)
    finished = attempt.finished()
    assert finished["published"] and "timeout" in [left["reason"] for left in finished["result"]["artifacts_left_out"]], finished


def test_an_answer_that_is_lost_after_the_update_is_found_by_the_fence(executor, agents, site):
    repository = site.repository()
    repository.hook(*LOSES_ITS_ANSWER)
    finished, attempt = executor.run(repository, agents.write(MAKE))
    assert finished["outcome"] == "completed" and finished["published"] and repository.tip() == finished["result"]["commit_sha"]
    assert len(executor.service.seen(type="attempt.phase", phase="pushing", **attempt.token)) == 1
    attempt.wait_found()


def test_a_push_that_is_cut_off_before_the_update_is_repeated(executor, agents, site, place):
    repository = site.repository()
    repository.hook("pre-receive", f"cat >/dev/null; [ -e {place}/cut ] || {{ touch {place}/cut; kill -9 $PPID; }}\n")
    finished, _ = executor.run(repository, agents.write(MAKE))
    assert finished["published"] and repository.tip() == finished["result"]["commit_sha"] and (place / "cut").exists()


def test_a_cancel_after_a_push_of_unknown_fate_closes_the_build(executor, agents, site, place):
    repository = site.repository()
    base = repository.tip()
    # Cut off until the test says so: pushes of the commit die, the closing mark gets through.
    repository.hook("pre-receive", f"grep -q refs/heads/ && {{ touch {place}/cut; kill -9 $PPID; }}; exit 0\n")
    attempt = executor.attempt(repository, agents.write(MAKE)).assign()
    wait_for((place / "cut").exists, "a push to be cut off")
    attempt.cancel()
    finished = attempt.finished()
    assert finished["outcome"] == "cancelled" and finished["closed"] and not finished["published"]
    assert repository.tip() == base and repository.refs()[f"refs/kiln/builds/{attempt.build_id}"] == EMPTY


def test_a_push_of_unknown_fate_is_left_to_the_next_attempt(own_executor, agents, site, place):
    """Closed by the mark, the build could not be repeated, and would end by that instead of by git's words."""
    executor = own_executor(KILN_PUBLISH_TIMEOUT_MS="2000")
    repository = site.repository()
    repository.hook("pre-receive", f"grep -q refs/heads/ && [ ! -e {place}/well ] && kill -9 $PPID; exit 0\n")
    finished, attempt = executor.run(repository, agents.write(MAKE))
    assert error_of(finished) == "git_unreachable" and finished["retryable"] and not finished["closed"]
    assert f"refs/kiln/builds/{attempt.build_id}" not in repository.refs()
    (place / "well").touch()
    base, commit = (attempt.phase(phase).data[field] for phase, field in (("agent", "base_sha"), ("pushing", "commit_sha")))
    again, second = executor.run(
        repository, agents.write(MAKE), build_id=attempt.build_id, attempt=2, base_sha=base, base_branch="main", earlier=[{"attempt": 1, "commit_sha": commit}]
    )  # fmt: skip
    assert again["published"] and repository.tip() == again["result"]["commit_sha"] and "agent" in second.phases()


def test_a_build_that_changes_nothing_is_closed_to_the_pushes_of_its_earlier_attempts(executor, agents, site):
    repository = site.repository()
    base = repository.tip()
    finished, attempt = executor.run(
        repository, agents.write("cat >/dev/null"), attempt=2, base_sha=base, base_branch="main", earlier=[{"attempt": 1, "commit_sha": "1" * 40}]
    )  # fmt: skip
    assert finished["outcome"] == "completed" and finished["closed"] and not finished["published"] and finished["result"]["commit_sha"] is None
    assert repository.refs()[f"refs/kiln/builds/{attempt.build_id}"] == EMPTY


def test_what_cannot_be_settled_is_reported_as_open(own_executor, agents, site):
    executor = own_executor(KILN_PUBLISH_TIMEOUT_MS="2000")
    repository = site.repository()
    repository.hook("pre-receive", "cat >/dev/null; kill -9 $PPID\n")
    finished, _ = executor.run(repository, agents.write(MAKE))
    assert finished["outcome"] == "failed" and error_of(finished) == "git_unreachable" and finished["retryable"]
    assert not finished["closed"] and not finished["published"]


def test_a_host_name_is_pinned_to_the_address_that_was_permitted(own_executor, agents, site):
    executor = own_executor(KILN_GIT_ALLOW="localhost")
    repository = site.repository()
    url = repository.url.replace("127.0.0.1", "localhost")
    site.credential("by-name", url_prefix=site.url.replace("127.0.0.1", "localhost"), username="kiln", token=site.system.env["KILN_GIT_TOKEN"])
    finished, _ = executor.run(url, agents.write(MAKE), git_fields={"credential": "by-name"})
    assert finished["published"] and repository.tip() == finished["result"]["commit_sha"]
    refused, _ = executor.run(repository.url, agents.write(MAKE))
    assert error_of(refused) == "git_unreachable" and not refused["retryable"]


def test_a_host_name_that_does_not_resolve_may_be_tried_again(executor, agents):
    finished, _ = executor.run("https://no-such-host.invalid/x.git", agents.write(MAKE), git_fields={"credential": None})
    assert error_of(finished) == "git_unreachable" and finished["retryable"]


def test_an_unreachable_remote_is_git_unreachable_before_the_agent_starts(executor, agents):
    finished, attempt = executor.run(f"http://127.0.0.1:{unused_port()}/x.git", agents.write(MAKE), git_fields={"credential": None})
    assert error_of(finished) == "git_unreachable" and finished["retryable"] and "agent" not in attempt.phases()


@pytest.mark.parametrize(
    "url",
    ["file:///etc/passwd", "ext::sh -c 'touch /tmp/owned'", "/etc", "http://10.0.0.1/x.git", "http://example.com/x.git", "https://127.0.0.1@10.0.0.1/x.git",
     "https://169.254.169.254/latest", "ssh://-oProxyCommand=touch/x", "git://127.0.0.1/x"],
)  # fmt: skip
def test_a_url_that_is_not_allowed_is_git_unreachable_for_good(executor, agents, url):
    finished, _ = executor.run(url, agents.write(MAKE), git_fields={"credential": None})
    assert error_of(finished) == "git_unreachable" and not finished["retryable"]


def test_credentials_that_are_missing_wrong_or_for_others_are_git_auth(executor, agents, site):
    repository = site.repository()
    token = site.system.env["KILN_GIT_TOKEN"]
    site.credential("wrong", url_prefix=site.url, username="kiln", token="wrong-token")
    site.credential("elsewhere", url_prefix="http://127.0.0.1:1/", username="kiln", token=token)
    site.credential("other-path", url_prefix=repository.url[:-3], username="kiln", token=token)
    site.credential("other-project", url_prefix=site.url, username="kiln", token=token, projects=["somebody-else"])
    for name in ("wrong", "elsewhere", "other-path", "other-project", "no-such", None):
        finished, attempt = executor.run(repository, agents.write(MAKE), git_fields={"credential": name})
        assert error_of(finished) == "git_auth" and not finished["retryable"], (name, finished["result"]["error"])
        assert token not in str(finished) and "agent" not in attempt.phases()
    (site.credentials_dir / "half.json").write_text('{"url_prefix"', encoding="utf-8")  # as while it is written: the worker's, and whole at the next attempt
    finished, _ = executor.run(repository, agents.write(MAKE), git_fields={"credential": "half"})
    assert error_of(finished) == "internal" and finished["retryable"], finished["result"]["error"]
    site.credential("this-project", url_prefix=repository.url, username="kiln", token=token, projects=["demo"])
    finished, _ = executor.run(repository, agents.write(MAKE), git_fields={"credential": "this-project"})
    assert finished["published"]


def break_mirror(executor, repository):
    objects = list(executor.mirror_of(repository).glob("objects/??/*"))
    assert objects
    for path in objects:
        path.chmod(0o644)
        path.write_bytes(b"garbage")


def test_a_broken_mirror_is_made_again(executor, agents, site):
    repository = site.repository()
    executor.run(repository, agents.write("cat >/dev/null; echo 1 >one"))
    break_mirror(executor, repository)
    finished, _ = executor.run(repository, agents.write("cat >/dev/null; echo 2 >two"))
    assert finished["published"], finished
    with repository.clone() as clone:
        assert clone.files() == ["README.md", "one", "src/a.txt", "two"]


@pytest.mark.parametrize("mode, fenced", [("run", True), ("run", False), ("settle", True), ("settle", False)])
def test_a_publication_is_found_through_a_broken_mirror(executor, agents, site, mode, fenced):
    """As a power loss leaves it: what was pushed is on the branch, and half of what is local is not on the disk."""
    repository = site.repository()
    first, attempt = executor.run(repository, agents.write(MAKE))
    commit = first["result"]["commit_sha"]
    if not fenced:
        site.server_git(repository, "update-ref", "-d", f"refs/kiln/builds/{attempt.build_id}")
    break_mirror(executor, repository)
    second, again = executor.run(
        repository, agents.write("exit 9"), build_id=attempt.build_id, attempt=2, mode=mode, base_sha=attempt.phase("agent").data["base_sha"],
        base_branch="main", earlier=[{"attempt": 1, "commit_sha": commit}], settle_end=SETTLE_END if mode == "settle" else None,
    )  # fmt: skip
    assert second["published"] and second["result"]["commit_sha"] == commit == repository.tip() and "agent" not in again.phases(), second


def test_locks_that_a_killed_fetch_left_in_the_mirror_fail_no_build(executor, agents, site):
    repository = site.repository()
    executor.run(repository, agents.write("cat >/dev/null; echo 1 >one"))
    mirror = executor.mirror_of(repository)
    locks = [path.with_name(f"{path.name}.lock") for path in (mirror / "packed-refs", *(mirror / "refs" / "kiln").iterdir())]
    mark = mirror / "mark"
    for path in (*locks, mark):
        path.touch()
    repository.seed({"other.txt": "by somebody else\n"})
    finished, _ = executor.run(repository, agents.write("cat >/dev/null; echo 2 >two"))
    assert finished["published"], finished
    assert len(locks) > 1 and not [path for path in locks if path.exists()] and mark.exists()  # the same mirror
    with repository.clone() as clone:
        assert clone.files() == ["README.md", "one", "other.txt", "src/a.txt", "two"]


def test_without_a_fence_an_announced_commit_on_a_rewritten_branch_is_the_publication(executor, agents, site):
    """What this build started from is no longer below the branch: all of the branch is looked at."""
    repository = site.repository()
    base = repository.tip()
    other = site.server_git(repository, "commit-tree", "main^{tree}", "-m", "Another history").strip()
    site.server_git(repository, "update-ref", "refs/heads/main", other)
    first, attempt = executor.run(repository, agents.write(MAKE))
    attempt.release()
    wait_for(lambda: len(repository.refs()) == 2, "the fence to be deleted")
    tip = repository.tip()
    assert first["result"]["commit_sha"] == tip
    second, again = executor.run(
        repository, agents.write("exit 9"), build_id=attempt.build_id, attempt=2, base_sha=base, base_branch="main", earlier=[{"attempt": 1, "commit_sha": tip}]
    )  # fmt: skip
    assert second["published"] and second["result"]["commit_sha"] == tip == repository.tip() and "agent" not in again.phases()


def test_without_fences_what_was_published_and_taken_back_is_not_published_again(executor, agents, site, place):
    """The answer to the push is lost, and before the next look somebody reverts the commit: rebased once more it would be a change again."""
    repository = site.repository()
    site.server_git(repository, "config", "receive.advertiseAtomic", "false")
    take_back = f"git -c user.name=x -c user.email=x@localhost commit-tree {repository.tip()}^{{tree}} -p refs/heads/main -m 'Taken back'"
    # After the update and before the server says so; a post-receive hook comes too late for that.
    repository.hook(
        "reference-transaction",
        f"[ $1 = committed ] && grep -q refs/heads/main && [ ! -e {place}/cut ] || exit 0; touch {place}/cut; git update-ref refs/heads/main $({take_back}); kill -9 $PPID\n",
    )
    finished, attempt = executor.run(repository, agents.write(MAKE))
    assert finished["outcome"] == "completed" and finished["published"] and (place / "cut").exists()
    with repository.clone() as clone:
        assert clone.commits_of(attempt.build_id) == [finished["result"]["commit_sha"]] == [clone.git("rev-parse", "HEAD^")]
