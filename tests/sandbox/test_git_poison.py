"""What an agent leaves in its workspace is data to the executor's own git: nothing of it runs, leads outside, or holds up the end."""
import base64
import shutil
import subprocess
import tempfile
import uuid

import pytest

import git_poison
from attempting import Repository, Site
from kiln_testing.repositories import EMPTY_ENV

SECRET = "the-other-projects-secret"


@pytest.fixture(scope="module")
def site():
    one = Site()
    yield one
    one.close()


@pytest.fixture(scope="module")
def other(site):
    """Another project's repository, and the mirror of it that the worker has."""
    one = Repository(site, {"secret.txt": SECRET + "\n"})
    assert SECRET in site.run(one, "#!/bin/sh\ncat secret.txt\n", auto_push=False).output
    one.mirror = site.mirror_of(one)
    with tempfile.TemporaryDirectory() as folder:  # as a pack too, beside the loose objects
        name = one.ask("pack-objects", "-q", "--all", f"{folder}/p")
        for kind in ("pack", "idx"):
            shutil.copy(f"{folder}/p-{name}.{kind}", one.mirror / "objects" / "pack" / f"p.{kind}")
    return one


@pytest.fixture(scope="module")
def repository(site):
    return Repository(site, {"README.md": "# Test\n", "a.txt": "one\n"})


class Place:
    """One agent's world: what {…} stands for."""

    def __init__(self, site, repository, other):
        self.site = site
        self.repository = repository
        self.branch = f"b-{uuid.uuid4().hex[:8]}"
        self.signs = site.outside / self.branch
        self.signs.mkdir()
        self.signs.chmod(0o777)
        secrets = site.root / f"secrets-{self.branch}"
        secrets.mkdir()
        for name, text in {"ref": f"{other.base}\n", "packed-refs": f"{other.base} refs/heads/{self.branch}\n", "config": f"[leak]\nsecret = {SECRET}\n", "ignore": "made.txt\n",
                           "attributes": "*.txt text eol=crlf\n"}.items():  # fmt: skip
            (secrets / name).write_text(text, encoding="ascii")
        self.words = {
            "SIGN": str(self.signs / "ran"), "SECRET": str(secrets), "OTHER": str(other.mirror), "BARE": str(other.bare), "COMMIT": other.base,
            "TREE": other.ask("rev-parse", "main^{tree}"), "BLOB": other.ask("rev-parse", "main:secret.txt"), "URL": repository.url, "BRANCH": self.branch,
            "AUTHORIZATION": "Authorization: Basic " + base64.b64encode(f"kiln:{site.token}".encode()).decode(),
        }  # fmt: skip
        self.workspace = None

    def fill(self, text):
        for word, value in self.words.items():
            text = text.replace("{" + word + "}", value)
        return text

    def run(self, poison, **more):
        script = "#!/bin/bash\nexec 2>&1\nprintf 'made\\r\\n' >made.txt\n" + self.fill(poison.script) + "\necho TRIED\n"
        end = self.site.run(self.repository, script, branch=self.branch, **more)
        self.workspace = self.site.state / "work" / end.token["lease_id"]
        assert "TRIED" in end.output, end.output
        return end

    def ran(self):
        return [path.name for path in self.signs.iterdir()]

    def plain_git(self, arguments):
        """In the same workspace, with what the agent saw as its borrowed objects."""
        environment = {**EMPTY_ENV, "HOME": str(self.site.root), "GIT_CONFIG_COUNT": "1", "GIT_CONFIG_KEY_0": "safe.directory", "GIT_CONFIG_VALUE_0": "*",
                       "GIT_ALTERNATE_OBJECT_DIRECTORIES": str(self.site.mirror_of(self.repository) / "objects")}  # fmt: skip
        done = subprocess.run(
            ["git", *map(self.fill, arguments)], cwd=self.workspace / "files", env=environment, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=200,
            check=False,
        )  # fmt: skip
        return done.stdout + done.stderr


@pytest.fixture
def place(site, repository, other):
    one = Place(site, repository, other)
    yield one
    if one.workspace:
        shutil.rmtree(one.workspace, ignore_errors=True)


def is_published_as_it_should(place, end):
    """What the agent wrote is there, byte for byte, on top of what was there."""
    assert end.published, (end.result, end.log("kiln"))
    assert "made.txt" in place.repository.files(place.branch)
    assert place.repository.ask("cat-file", "-s", f"{place.branch}:made.txt") == "6"
    assert place.repository.ask("merge-base", place.branch, "main") == place.repository.base


def named(table):
    return [pytest.param(poison, id=poison.name) for poison in table]


@pytest.mark.parametrize("poison", named(git_poison.RUNS))
def test_the_executors_git_runs_nothing_of(place, poison):
    end = place.run(poison)
    is_published_as_it_should(place, end)
    assert not place.ran()
    if poison.control:
        said = place.plain_git(poison.control)
        assert place.ran(), f"plain git does not fall for it: {said}"


@pytest.mark.parametrize("poison", named(git_poison.READS))
def test_the_executors_git_does_not_read_outside_by(place, poison):
    end = place.run(poison)
    is_published_as_it_should(place, end)
    assert poison.notice in end.log("kiln"), end.log("kiln")
    added = place.repository.added(place.branch)
    assert not [word for word in (SECRET, place.words["COMMIT"], place.words["BLOB"]) if word in added]
    if poison.control:
        said = place.plain_git(poison.control)
        assert any(word in said for word in (SECRET, place.words["COMMIT"], place.words["SECRET"])), f"plain git does not fall for it: {said}"


@pytest.mark.parametrize("poison", named(git_poison.ODD))
def test_the_executors_git_is_not_held_up_by(place, poison):
    end = place.run(poison)
    is_published_as_it_should(place, end)
    assert poison.notice in end.log("kiln"), end.log("kiln")


def test_an_agents_packs_are_taken_over_whatever_their_deltas_are(place):
    """As `git gc` leaves them, and with bases by name."""
    script = "seq 20000 >n.txt; git add n.txt; git commit -qm One; seq 20001 >n.txt; git commit -qam Two; git {OPTION} repack -adfq; git prune-packed; git verify-pack -v .git/objects/pack/*.idx | grep 'chain length = 1'"
    for option in ("-c repack.useDeltaBaseOffset=true", "-c repack.useDeltaBaseOffset=false"):
        end = place.run(git_poison.Poison("packs", script.replace("{OPTION}", option)))
        is_published_as_it_should(place, end)
        assert "chain length" in end.output and "cannot be used" not in end.log("kiln")
        assert {"One", "Two"} <= set(place.repository.ask("log", "--format=%s", place.branch).splitlines())
        place.repository.ask("update-ref", "-d", f"refs/heads/{place.branch}")
        shutil.rmtree(place.workspace)


def test_the_executors_git_does_not_run_a_merge_driver_when_it_rebases(place):
    def move():
        """Somebody else pushes to the branch, and to the same file."""
        blob = place.repository.ask("hash-object", "-w", "--stdin", text="# Test\nmore\n")
        tree = place.repository.ask("mktree", text=f"100644 blob {blob}\tREADME.md\n")
        commit = place.repository.ask("commit-tree", "-p", "main", "-m", "Theirs", tree)
        place.repository.ask("update-ref", f"refs/heads/{place.branch}", commit)

    driver = git_poison.config("", '[merge "evil"]\ndriver = "touch {SIGN}; true"', (), git_poison.ATTRIBUTES + "; sed -i 's/# Test/# Mine/' README.md")
    end = place.run(driver, meanwhile=move)
    assert end.error == "git_conflict" and not place.ran(), end.result
    place.plain_git(("-c", "user.name=a", "-c", "user.email=a@b", "commit", "-qam", "Mine"))
    theirs = place.repository.ask("rev-parse", place.branch)
    place.plain_git(("-c", "http.extraHeader={AUTHORIZATION}", "fetch", "-q", "{URL}", "{BRANCH}"))
    said = place.plain_git(("-c", "user.name=a", "-c", "user.email=a@b", "merge", theirs))
    assert place.ran(), said
