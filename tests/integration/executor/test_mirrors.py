"""Mirrors go when they take too much room, or are broken, but never while a build borrows from them; and who holds their locks."""
import contextlib
import os
import pathlib
import signal
import subprocess
import time

import pytest

from executing import EMPTY_ENV, open_files, waiting
from kiln_testing.hostile import hostile  # noqa: F401  pylint: disable=unused-import
from kiln_testing.waiting import wait_for
from test_publishing import MAKE
from test_remotes import passes_on, through

MIB = 1 << 20
DAY_S = 86400
MANY = 12000  # objects, at which git is for longer than it takes to find it


def write(name):
    return f"cat >/dev/null; echo {name} >{name}"


def wait_gone(path):
    wait_for(lambda: not path.exists(), "a mirror to be removed")


def holding(path):
    """Pids of the processes that have the file open, and their names."""
    found = {}
    for entry in pathlib.Path("/proc").iterdir():
        if entry.name.isdigit() and str(path) in open_files(int(entry.name)):
            found[int(entry.name)] = (entry / "comm").read_text(encoding="utf-8").strip()
    return found


def holders(path):
    return set(holding(path).values())


def users(mirror):
    """Without the packer, which is there now and then."""
    return holders(mirror / "kiln-use") - {"kiln-packer"}


def test_when_they_take_too_much_the_one_used_longest_ago_goes_and_is_fetched_again(own_executor, agents, site):
    executor = own_executor(KILN_MIRRORS_BYTES=str(2 * MIB))
    first, second = (site.repository(**{"large.txt": os.urandom(MIB).hex()}) for _ in range(2))  # half as much when it is packed
    assert executor.run(first, agents.write(write("one")))[0]["published"]
    assert executor.mirror_of(first).exists()
    assert executor.run(second, agents.write(write("one")))[0]["published"]
    wait_gone(executor.mirror_of(first))
    assert executor.mirror_of(second).exists()
    assert executor.run(first, agents.write(write("two")))[0]["published"]
    with first.clone() as clone:
        assert clone.files() == ["large.txt", "one", "two"]


def test_one_that_no_build_has_used_for_long_goes(own_executor, agents, site):
    executor = own_executor()
    old, younger, new = (site.repository() for _ in range(3))
    for repository, days in ((old, 15), (younger, 13)):
        executor.run(repository, agents.write(MAKE))
        then = time.time() - days * DAY_S
        os.utime(executor.mirror_of(repository) / "kiln-use", (then, then))
    executor.run(new, agents.write(MAKE))
    wait_gone(executor.mirror_of(old))
    assert executor.mirror_of(younger).exists() and executor.mirror_of(new).exists()


def test_one_that_a_build_borrows_from_stays(own_executor, agents, site, place):
    executor = own_executor(KILN_MIRRORS_BYTES="1")
    used, other = site.repository(), site.repository()
    attempt = executor.attempt(used, agents.write(waiting(place, "git log -p; echo made >made.txt"))).assign()
    attempt.phase("agent")
    executor.run(other, agents.write(MAKE))
    wait_gone(executor.mirror_of(other))
    assert executor.mirror_of(used).exists()  # though its turn came before the other's
    (place / "go").touch()
    assert attempt.finished()["published"]
    wait_gone(executor.mirror_of(used))


def test_a_broken_one_is_not_taken_from_a_build_that_borrows_from_it(executor, agents, site, place):
    repository = site.repository()
    repository.seed({"README.md": "# Other\n", "other.txt": "other\n"}, branch="other")
    executor.run(repository, agents.write(write("one")), branch="other")
    mirror = executor.mirror_of(repository)
    borrower = executor.attempt(repository, agents.write(waiting(place, "git log -p; echo made >made.txt"))).assign()
    borrower.phase("agent")
    blob = site.server_git(repository, "rev-parse", "other:other.txt").strip()  # which the borrower does not need
    path = mirror / "objects" / blob[:2] / blob[2:]
    path.chmod(0o644)
    path.write_bytes(b"garbage")
    mark = mirror / "mark"
    mark.touch()

    finished, attempt = executor.run(repository, agents.write(write("two")), branch="other")
    assert finished["published"], finished
    wait_for(lambda: any("mirror is broken" in line for line in attempt.lines("kiln")), "the log to tell it")
    assert mark.exists()
    (place / "go").touch()
    assert borrower.finished()["published"]

    finished, _ = executor.run(repository, agents.write(write("three")), branch="other")
    assert finished["published"] and not mark.exists()
    with repository.clone("other") as clone:
        assert clone.files() == ["README.md", "one", "other.txt", "three", "two"]


def test_what_was_taken_over_of_commits_that_cannot_be_used_does_not_come_into_it(executor, agents, site):
    """A build that makes the same commits, and makes them whole, would leave out what they refer to."""
    repository = site.repository()
    site.server_git(repository, "branch", "other", "main")
    commits = """
    cat >/dev/null
    export GIT_AUTHOR_DATE='@1 +0000' GIT_COMMITTER_DATE='@1 +0000'
    for n in 1 2; do echo $n >$n; git add $n; git commit -q -m "Number $n"; done
    """
    without_a_blob = 'blob=$(git rev-parse HEAD:1); rm -f .git/objects/${blob:0:2}/${blob:2}; echo 3 >3'
    finished, attempt = executor.run(repository, agents.write(f"{commits}\n{without_a_blob}\n"))
    assert finished["published"], finished
    wait_for(lambda: any("an object is missing" in line for line in attempt.lines("kiln")), "the log to tell it")
    finished, _ = executor.run(repository, agents.write(commits), branch="other")
    assert finished["published"], finished
    with repository.clone("other") as clone:
        assert clone.files() == ["1", "2", "README.md", "src/a.txt"] and clone.git("log", "-2", "--format=%s").splitlines() == ["Number 2", "Number 1"]


def test_only_the_attempts_child_keeps_the_mirror_in_its_place(executor, agents, site, place):
    """An agent, or what it leaves, would keep it for as long as it lives."""
    repository = site.repository()
    attempt = executor.attempt(repository, agents.write(f"touch {place}/began; {waiting(place, 'true')}")).assign()
    wait_for((place / "began").exists, "the agent")
    mirror = executor.mirror_of(repository)
    assert users(mirror) == {"kiln-attempt"} and not holders(mirror / "kiln-fetch") - {"kiln-packer"}
    (place / "go").touch()
    attempt.finished()
    wait_for(lambda: not users(mirror), "the child to end")


def test_all_that_belongs_to_a_fetch_holds_its_lock(executor, agents, site, hostile):  # noqa: F811
    """Whoever comes next may take what lies about for left behind, also when the attempt's child was killed."""
    pass_on = passes_on(site)
    server = hostile(lambda handler: pass_on(handler) if len(handler.server.requests) == 1 else handler.server.stop.wait(120))  # the listing only
    url, git_fields = through(server, site, site.repository())
    attempt = executor.attempt(url, agents.write(MAKE), git_fields=git_fields).assign()
    wait_for(lambda: len(server.requests) > 1, "the fetch")
    mirror = executor.mirror_of(url)
    assert holders(mirror / "kiln-fetch") == {"git", "git-remote-http", "kiln-attempt"}
    assert users(mirror) == {"kiln-attempt"}
    attempt.cancel()
    assert attempt.finished()["outcome"] == "cancelled"


def loose_objects(mirror):
    return sum(len(files) for folder, _, files in os.walk(mirror / "objects") if len(os.path.basename(folder)) == 2)


def grow(executor, mirror, count):
    """Loose objects, as many builds leave them."""
    stream = b"".join(b"blob\ndata %d\n%s\n" % (len(text), text) for text in (os.urandom(1000).hex().encode() for _ in range(count)))
    subprocess.run(
        ["git", f"--git-dir={mirror}", "-c", "fastimport.unpackLimit=1000000", "fast-import", "--quiet"],
        input=stream, env=EMPTY_ENV, check=True, timeout=120, **executor.system.as_run_user(),
    )  # fmt: skip
    assert loose_objects(mirror) >= count


def grown(executor, repository, agents, count=600):
    """The mirror of a repository that has been built often. The executor is started anew, for it looks at once then."""
    assert executor.run(repository, agents.write(write("one")))[0]["published"]
    mirror = executor.mirror_of(repository)
    executor.stop()
    grow(executor, mirror, count)
    executor.start()
    return mirror


def wait_packed(executor, mirror, times):
    """Until that often a process has packed this mirror, and has ended."""
    def packed():
        return [line for line in executor.lines() if line["msg"] == "mirror packed" and line["path"] == str(mirror)]

    wait_for(lambda: len(packed()) == times, "it to be packed", deadline=180)
    wait_for(lambda: not executor.children_for("pack-mirrors"), "the packer to end")


def test_one_that_has_grown_is_packed_and_a_build_that_borrows_from_it_goes_on(own_executor, agents, site, place):
    executor = own_executor()
    repository = site.repository()
    mirror = grown(executor, repository, agents)
    attempt = executor.attempt(repository, agents.write(waiting(place, "git log -p && git fsck && echo made >made.txt"))).assign()
    attempt.phase("agent")
    wait_packed(executor, mirror, 1)  # git fsck lists loose objects and then opens them: not while they are removed
    assert loose_objects(mirror) < 100
    (place / "go").touch()
    assert attempt.finished()["published"]
    with repository.clone() as clone:
        assert clone.files() == ["README.md", "made.txt", "one", "src/a.txt"]


def test_one_that_cannot_be_packed_is_told_once_and_holds_up_no_other(own_executor, agents, site):
    executor = own_executor()
    broken, sound = site.repository(), site.repository()
    executor.run(broken, agents.write(write("one")))
    mirror = grown(executor, sound, agents)
    wait_packed(executor, mirror, 1)
    for turn in (2, 3):
        for repository in (broken, sound):
            assert executor.run(repository, agents.write(write(f"file{turn}")))[0]["published"]
        executor.stop()
        grow(executor, mirror, 600)
        if turn == 2:
            grow(executor, executor.mirror_of(broken), 600)
            large = max((executor.mirror_of(broken) / "objects").glob("??/*"), key=lambda path: path.stat().st_size)
            large.chmod(0o644)
            os.truncate(large, 500)
        executor.start()
        wait_packed(executor, mirror, turn)
    told = [line["path"] for line in executor.lines() if line["msg"].startswith("a mirror cannot be packed")]
    assert told == [str(executor.mirror_of(broken))]


def signal_all(pids, number):
    for pid in pids:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, number)


@contextlib.contextmanager
def packing_held_up(executor, agents, site):
    """A mirror that is being packed, by a git that does not get far."""
    mirror = grown(executor, site.repository(), agents, count=MANY)
    lock = mirror / "kiln-pack"
    try:
        signal_all(wait_for(lambda: [pid for pid, name in holding(lock).items() if name == "git"], "git to pack it"), signal.SIGSTOP)
        yield mirror
        wait_for(lambda: not holding(lock), "all of it to be gone")
        assert loose_objects(mirror) >= MANY
    finally:
        signal_all(holding(lock), signal.SIGKILL)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_a_packing_ends_with_its_daemon(own_executor, agents, site, number):
    executor = own_executor()
    with packing_held_up(executor, agents, site):
        executor.kill(number)


def test_a_packing_ends_with_a_packer_that_does_not_end_by_itself(own_executor, agents, site):
    executor = own_executor()
    with packing_held_up(executor, agents, site) as mirror:
        signal_all([pid for pid, name in holding(mirror / "kiln-pack").items() if name == "kiln-packer"], signal.SIGSTOP)
        executor.kill(signal.SIGTERM)


def test_a_packing_ends_with_a_packer_that_is_killed_and_the_executor_goes_on(own_executor, agents, site):
    executor = own_executor()
    with packing_held_up(executor, agents, site) as mirror:
        signal_all([pid for pid, name in holding(mirror / "kiln-pack").items() if name == "kiln-packer"], signal.SIGKILL)
    assert executor.run(site.repository(), agents.write(MAKE))[0]["published"]
