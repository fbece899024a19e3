"""Artifacts: what a build's globs name is kept, and comes back byte for byte; what a hostile agent leaves hurts nobody."""

import contextlib
import hashlib
import json
import os
import pathlib
import time

import pytest
from kiln_testing import raw
from kiln_testing.agents import Gate
from kiln_testing.client import slug
from kiln_testing.repositories import git
from kiln_testing.services import held_threads, ready_gateway
from kiln_testing.waiting import wait_for

LARGE_BYTES = 32 * 1024 * 1024
LARGE = "echo {0} > .gitignore; head -c " + str(LARGE_BYTES) + " /dev/urandom > {0}"  # ignored: git need not look at it
WINDOW = 65536  # with the sender's buffer far less than that


def run(kiln, script, globs, project=None, **fields):
    """The ended build of an agent made of this script, with these globs."""
    project = project or kiln.seeded()[0]
    return kiln.wait_end(kiln.run(project, script, artifacts=globs, **fields))


def kept(build):
    """{path: item} of a build's result."""
    return {item["path"]: item for item in build["result"]["artifacts"]}


def left_out(build):
    """{path: reason} of what the result says is left out."""
    return {item["path"]: item["reason"] for item in build["result"].get("artifacts_left_out", [])}


def link(build, path):
    return f"/builds/{build['task_id']}/artifacts/{path}"


def stored(kiln, sha256):
    """A content's file in the store."""
    return pathlib.Path(kiln.system.env["KILN_ARTIFACTS_DIR"], "sha256", sha256[:2], sha256)


REPORT = "<a>\n" * 1000
SCRIPT = f"""
printf 'out/\\n' > .gitignore
mkdir -p out/deep 'a b'
python3 -c "print('{REPORT[:3]}\\n' * 1000, end='')" > out/deep/report.xml
printf hello > 'a b/ä#?.txt'
printf '<script>alert(1)</script>' > out/page.html
: > out/empty
"""


BUILDS = {}  # one of a kind for this module


@pytest.fixture(name="made")
def made_fixture(kiln):
    """An ended build with artifacts of all kinds."""
    if "made" not in BUILDS:
        BUILDS["made"] = run(kiln, SCRIPT, ["out/**/*.xml", "a b", "out/page.html", "out/empty", "never/*"])
    return BUILDS["made"]


def test_what_the_globs_name_is_listed_with_size_hash_and_type(kiln, made):
    assert made["status"] == "completed", made["result"]
    text = REPORT.encode()
    assert list(kept(made)) == ["a b/ä#?.txt", "out/deep/report.xml", "out/empty", "out/page.html"]
    assert kept(made)["out/deep/report.xml"] == {
        "path": "out/deep/report.xml",
        "size": len(text),
        "sha256": hashlib.sha256(text).hexdigest(),
        "media_type": "application/xml",
    }
    assert left_out(made) == {}
    assert made["result"] == kiln.trail(made["task_id"])[-1]["data"]["result"]


def test_the_log_says_what_was_kept_and_which_glob_fits_nothing(kiln, made):
    text = kiln.log_text(made["task_id"])
    assert "artifacts: 4 kept" in text and 'nothing fits "never/*"' in text


def test_an_artifact_comes_back_byte_for_byte(kiln, made):
    answer = kiln.api.get(link(made, "out/deep/report.xml"), expect=200)
    assert answer.content == REPORT.encode()
    assert answer.headers["content-type"] == "application/xml"
    assert answer.headers["etag"] == f'"{kept(made)["out/deep/report.xml"]["sha256"]}"'
    assert kiln.api.get(link(made, "out/empty"), expect=200).content == b""


@pytest.mark.parametrize("path", ["a%20b/%C3%A4%23%3F.txt", "a%20b%2F%c3%a4%23%3f.txt"])
def test_a_path_is_percent_decoded(kiln, made, path):
    answer = kiln.api.get(link(made, path), expect=200)
    assert answer.content == b"hello"
    assert answer.headers["content-disposition"] == "attachment; filename=\"____.txt\"; filename*=UTF-8''%C3%A4%23%3F.txt"


def test_a_hostile_page_is_not_run_by_a_browser(kiln, made):
    headers = kiln.api.get(link(made, "out/page.html"), expect=200).headers
    assert headers["content-security-policy"] == "default-src 'none'; sandbox" and headers["x-content-type-options"] == "nosniff"
    assert headers["content-disposition"].startswith("attachment;")


def test_head_tells_what_get_would(kiln, made):
    answer = kiln.api.plain("HEAD", link(made, "out/deep/report.xml"), headers={"Range": "bytes=0-1"})
    assert answer.status_code == 200 and answer.content == b""
    assert answer.headers["content-length"] == str(len(REPORT)) and answer.headers["accept-ranges"] == "bytes"


def test_what_the_client_has_already_is_not_sent_again(kiln, made):
    path = link(made, "out/deep/report.xml")
    tag = kiln.api.get(path, expect=200).headers["etag"]
    assert kiln.api.get(path, headers={"If-None-Match": tag}, expect=304).headers["etag"] == tag
    kiln.api.get(path, headers={"If-None-Match": '"other"'}, expect=200)
    kiln.api.get(path, headers={"If-Match": '"other"'}, expect=412)


@pytest.mark.parametrize(
    "asked, first, last",
    [("bytes=0-9", 0, 9), ("bytes=3990-", 3990, 3999), ("bytes=-5", 3995, 3999), ("bytes=10-99999", 10, 3999)],
)
def test_a_range_is_answered_by_its_bytes(kiln, made, asked, first, last):
    answer = kiln.api.get(link(made, "out/deep/report.xml"), headers={"Range": asked}, expect=206)
    assert answer.content == REPORT.encode()[first : last + 1]
    assert answer.headers["content-range"] == f"bytes {first}-{last}/4000"


@pytest.mark.parametrize("asked", ["bytes=0-1,5-6", "lines=0-1", "bytes=5-2", "bytes=x"])
def test_what_is_no_single_range_of_bytes_is_answered_by_the_whole(kiln, made, asked):
    assert kiln.api.get(link(made, "out/deep/report.xml"), headers={"Range": asked}, expect=200).content == REPORT.encode()


@pytest.mark.parametrize("path, asked", [("out/deep/report.xml", "bytes=4000-"), ("out/deep/report.xml", "bytes=-0"), ("out/empty", "bytes=0-")])
def test_a_range_after_the_end_is_416(kiln, made, path, asked):
    answer = kiln.api.get(link(made, path), headers={"Range": asked}, expect=416)
    assert slug(answer) == "range-not-satisfiable"
    assert answer.headers["content-range"] == f"bytes */{kept(made)[path]['size']}"


def test_if_range_with_another_tag_gets_the_whole(kiln, made):
    path = link(made, "out/deep/report.xml")
    tag = f'"{kept(made)["out/deep/report.xml"]["sha256"]}"'
    kiln.api.get(path, headers={"Range": "bytes=0-1", "If-Range": tag}, expect=206)
    kiln.api.get(path, headers={"Range": "bytes=0-1", "If-Range": '"other"'}, expect=200)
    kiln.api.get(path, headers={"Range": "bytes=0-1", "If-Range": f"W/{tag}"}, expect=200)


def test_what_is_no_artifact_of_the_build_is_404(kiln, made):
    for path in ("README.md", "out", "out/deep", "never/x", "out/deep/report.xml/x", "Out/page.html", "x" * 5000):
        assert slug(kiln.api.get(link(made, path), expect=404)) == "not-found"
    kiln.api.get("/builds/0198c1de-7a3b-7c4d-8e5f-0123456789ab/artifacts/out/empty", expect=404)


def test_only_who_may_read_the_project_gets_its_artifacts(kiln, made):
    path = link(made, "out/empty")
    kiln.token(["builds:read"], projects=[made["project"]["name"]]).get(path, expect=200)
    kiln.token(["builds:read"], projects=[kiln.project()["name"]]).get(path, expect=404)
    kiln.token(["projects:read"]).get(path, expect=403)
    kiln.api.with_token(None).get(path, expect=401)


@pytest.mark.parametrize(
    "path, status",
    [
        ("../../../../etc/passwd", 404),
        ("..%2f..%2f..%2fetc%2fpasswd", 404),
        ("%2e%2e/%2e%2e/etc/passwd", 404),
        ("/etc/passwd", 404),
        ("%2fetc%2fpasswd", 404),
        ("out/./empty", 404),
        ("out//empty", 404),
        ("out/empty/", 404),
        ("out/empty%00", 400),
        ("out/%ff", 400),
        ("out/%zz", 400),
    ],
)
def test_a_path_that_means_harm_gets_nothing(kiln, made, path, status):
    request = raw.head(kiln.api.token, "GET", link(made, path))
    (answer,) = raw.decided(kiln.system.url, request)
    assert answer.status == status and b"root:" not in answer.body


def test_a_builds_webhook_has_the_same_list(kiln):
    inbox = kiln.receiver.inbox()
    build = run(kiln, "echo x > x.txt", ["*.txt"], callback_url=inbox.url)
    told = json.loads(inbox.wait()[0].body)
    assert told["data"]["result"]["artifacts"] == build["result"]["artifacts"] != []


def test_a_failed_builds_artifacts_are_kept(kiln):
    build = run(kiln, "echo why > report.txt; exit 3", ["report.txt"])
    assert build["status"] == "failed" and kiln.api.get(link(build, "report.txt"), expect=200).content == b"why\n"


def test_a_build_without_globs_has_none(kiln):
    build = run(kiln, "echo x > x.txt", [])
    assert build["result"]["artifacts"] == [] and "artifacts_left_out" not in build["result"]
    kiln.api.get(link(build, "x.txt"), expect=404)


HOSTILE = """
echo fine > fine.txt
ln -s /etc/passwd passwd
ln -s /etc etc
ln -s fine.txt inside
mkfifo fifo
python3 -c "import socket; socket.socket(socket.AF_UNIX).bind('socket')"
mkdir -p kiln closed
printf forged > kiln/commit.bundle
echo x > closed/x; chmod 000 closed
echo x > unreadable; chmod 000 unreadable
python3 - <<'END'
import os
open(b"bad\\xff", "w").close()
for _ in range(70):
    os.mkdir("d")
    os.chdir("d")
open("deep", "w").close()
END
"""


def test_links_special_files_and_odd_names_are_left_out_and_told(kiln):
    build = run(kiln, HOSTILE, ["**", "etc/passwd"])
    assert build["status"] == "completed", build["result"]
    assert set(kept(build)) == {"README.md", "fine.txt"}
    told = left_out(build)
    assert {path: told[path] for path in ("passwd", "etc", "inside", "fifo", "socket")} == dict.fromkeys(
        ("passwd", "etc", "inside", "fifo", "socket"), "no_file"
    )
    assert told["closed"] == told["unreadable"] == "unreadable" and told["kiln/commit.bundle"] == "reserved"
    assert told["bad\ufffd"] == "bad_name" and "too_deep" in told.values()
    assert "symbolic links are not followed" in kiln.log_text(build["task_id"])


def test_gits_own_files_are_never_taken(kiln):
    build = run(kiln, "git init -q inner; echo x > inner/x", ["**"])
    assert set(kept(build)) == {"README.md", "inner/x"}


def test_of_ten_thousand_files_the_first_hundred_are_kept_and_the_rest_is_told(kiln):
    build = run(kiln, "echo many > .gitignore; mkdir many; cd many; touch $(seq -f %05.0f 10000)", ["many"])
    assert list(kept(build)) == [f"many/{n:05}" for n in range(1, 101)]
    assert left_out(build) == {None: "too_many"}
    assert "10000 files fit" in build["result"]["artifacts_left_out"][0]["detail"]
    assert "10000 files fit" in kiln.log_text(build["task_id"])


def test_a_file_that_is_too_large_is_left_out_and_the_others_are_kept(kiln):
    build = run(kiln, "echo huge > .gitignore; truncate -s 300M huge; echo x > small", ["huge", "small"])
    assert set(kept(build)) == {"small"} and left_out(build) == {"huge": "too_large"}
    assert "268435456" in build["result"]["artifacts_left_out"][0]["detail"]


def test_without_a_store_the_log_and_the_result_say_so(kiln):
    label = kiln.name("no-store")
    with kiln.system.executor(labels=[label], KILN_ARTIFACTS_DIR=""):
        build = run(kiln, "echo x > x.txt", ["x.txt"], labels=[label])
    assert build["status"] == "completed" and build["result"]["artifacts"] == [] and left_out(build) == {None: "no_store"}
    assert "KILN_ARTIFACTS_DIR" in kiln.log_text(build["task_id"])


def test_an_executors_limits_hold_and_old_contents_go(kiln):
    """One executor of its own for what needs one: limits of all artifacts together, and what is too old at its start."""
    old = kept(run(kiln, f"echo {kiln.name()} > old.txt", ["old.txt"]))["old.txt"]
    path = stored(kiln, old["sha256"])
    then = time.time() - 40 * 86400
    os.utime(path, (then, then))
    label = kiln.name("small")
    with kiln.system.executor(labels=[label], KILN_ARTIFACTS_MAX_BYTES="100"):
        build = run(kiln, "head -c 60 /dev/zero > a; head -c 60 /dev/zero > b; head -c 40 /dev/zero > c", ["?"], labels=[label])
        wait_for(lambda: not path.exists(), "the old content to be removed")
    assert set(kept(build)) == {"a", "c"} and left_out(build) == {"b": "too_large"}


def test_a_commit_that_is_not_pushed_is_kept_as_a_bundle(kiln, tmp_path):
    project, repository = kiln.seeded()
    script = "echo own > own.txt; git add own.txt; git commit -qm own; head -c 1000 /dev/zero > work.bin"
    build = kiln.wait_end(kiln.run(project, script, auto_commit=True))
    sha = build["result"]["commit_sha"]
    assert list(kept(build)) == ["kiln/commit.bundle"] and repository.tip() != sha
    file = tmp_path / "commit.bundle"
    file.write_bytes(kiln.api.get(link(build, "kiln/commit.bundle"), expect=200).content)
    with repository.clone() as clone:
        clone.git("fetch", "-q", str(file), "main")
        assert clone.git("rev-parse", "FETCH_HEAD") == sha
        assert clone.git("log", "--format=%s", "HEAD..FETCH_HEAD").splitlines()[-1] == "own"
        clone.git("checkout", "-q", "FETCH_HEAD")
        clone.git("fsck", "--strict")
        assert clone.files() == ["README.md", "own.txt", "work.bin"]


def test_an_agents_artifacts_leave_room_for_its_commit_and_a_commit_that_cannot_be_kept_fails_the_build(kiln):
    label = kiln.name("narrow")
    with kiln.system.executor(labels=[label], KILN_ARTIFACTS_MAX_BYTES="20000", KILN_ARTIFACTS_MAX_FILE_BYTES="20000"):
        full = run(kiln, "echo full > .gitignore; head -c 20000 /dev/zero > full; head -c 10000 /dev/urandom > work.bin", ["full"], auto_commit=True, labels=[label])
        lost = run(kiln, "head -c 30000 /dev/urandom > work.bin", [], auto_commit=True, labels=[label])
    assert set(kept(full)) == {"full", "kiln/commit.bundle"} and full["status"] == "completed", full["result"]
    assert lost["status"] == "failed" and lost["result"]["error"]["class"] == "agent_failed" and lost["result"]["commit_sha"] is None, lost["result"]
    assert "20000 bytes" in lost["result"]["error"]["message"] and left_out(lost) == {"kiln/commit.bundle": "too_large"}


def test_the_bundle_of_an_empty_repositorys_first_commit_needs_nothing(kiln, tmp_path):
    build = kiln.wait_end(kiln.run(kiln.project(), "echo x > x.txt", auto_commit=True))
    file = tmp_path / "commit.bundle"
    file.write_bytes(kiln.api.get(link(build, "kiln/commit.bundle"), expect=200).content)
    git("clone", "-q", "--branch", "main", str(file), str(tmp_path / "clone"))
    assert git("rev-parse", "HEAD", cwd=tmp_path / "clone").strip() == build["result"]["commit_sha"]


def test_a_conflict_keeps_the_work_as_a_patch(kiln, tmp_path):
    project, repository = kiln.seeded({"a.txt": "one\n", "b.txt": "b\n"})
    gate = Gate(kiln)
    script = f"echo two > a.txt; rm b.txt; head -c 100 /dev/zero > z.bin; {gate.script}"
    task = kiln.run(project, script, auto_commit=True, auto_push=True)
    kiln.wait_phase(task, "agent")
    repository.seed({"a.txt": "three\n"})
    gate.open()
    build = kiln.wait_end(task)
    assert build["result"]["error"]["class"] == "git_conflict" and list(kept(build)) == ["kiln/work.patch"]
    file = tmp_path / "work.patch"
    file.write_bytes(kiln.api.get(link(build, "kiln/work.patch"), expect=200).content)
    with repository.clone() as clone:
        clone.git("checkout", "-q", "HEAD~1")
        clone.git("apply", "--index", str(file))
        assert clone.read("a.txt") == "two\n" and clone.files() == ["a.txt", "z.bin"]


def test_an_artifact_that_is_no_longer_kept_is_404(kiln):
    build = run(kiln, f"echo {kiln.name()} > x.txt", ["x.txt"])
    stored(kiln, kept(build)["x.txt"]["sha256"]).unlink()
    answer = kiln.api.get(link(build, "x.txt"), expect=404)
    assert "not kept any more" in answer.json()["detail"]
    for condition in ({"If-None-Match": "*"}, {"If-Match": '"other"'}):  # which say nothing of what is not there
        kiln.api.get(link(build, "x.txt"), headers=condition, expect=404)


@pytest.fixture(name="large")
def large_fixture(kiln):
    """A build with an artifact of 32 MiB."""
    if "large" not in BUILDS:
        BUILDS["large"] = run(kiln, LARGE.format("large.bin"), ["large.bin"])
    return BUILDS["large"]


def test_a_large_artifact_comes_back_whole(kiln, large):
    answer = kiln.api.get(link(large, "large.bin"), expect=200)
    item = kept(large)["large.bin"]
    assert len(answer.content) == item["size"] == LARGE_BYTES
    assert hashlib.sha256(answer.content).hexdigest() == item["sha256"]


def test_a_reader_that_takes_nothing_is_cut_and_hurts_nobody(kiln, large):
    with ready_gateway(kiln.system, KILN_WRITE_TIMEOUT_MS="500") as gateway, raw.connect(gateway.url, window=WINDOW) as sock:
        sock.sendall(raw.head(kiln.api.token, "GET", link(large, "large.bin")))
        wait_for(lambda: gateway.metric('kiln_http_cut_connections_total{reason="write"}') == 1, "the download to be cut")
        wait_for(lambda: gateway.metric("kiln_gateway_downloads") == 0, "its place to be given back")
        assert kiln.at(gateway).get(link(large, "large.bin"), headers={"Range": "bytes=-1"}, expect=206).content
        assert len(raw.read_all(sock)) < LARGE_BYTES


def test_downloads_have_limits_and_a_client_that_leaves_gives_its_place_back(kiln, large):
    variables = {"KILN_MAX_DOWNLOADS": "2", "KILN_MAX_DOWNLOADS_PER_TOKEN": "1", "KILN_WRITE_TIMEOUT_MS": "600000"}
    with ready_gateway(kiln.system, **variables) as gateway:
        api, other, third = kiln.at(gateway), kiln.at(gateway, kiln.token(["builds:read"])), kiln.at(gateway, kiln.token(["builds:read"]))
        path = link(large, "large.bin")
        with contextlib.ExitStack() as stack:
            for client in (api, other):
                sock = stack.enter_context(raw.connect(gateway.url, window=WINDOW))
                sock.sendall(raw.head(client.token, "GET", path))
            wait_for(lambda: gateway.metric("kiln_gateway_downloads") == 2, "both downloads to begin")
            assert slug(third.get(path, expect=503)) == "overloaded"
        wait_for(lambda: gateway.metric("kiln_gateway_downloads") == 0, "their places to be given back")
        with raw.connect(gateway.url, window=WINDOW) as sock:
            sock.sendall(raw.head(api.token, "GET", path))
            wait_for(lambda: gateway.metric("kiln_gateway_downloads") == 1, "the download to begin")
            assert slug(api.get(path, expect=429)) == "too-many-requests"
            other.get(path, headers={"Range": "bytes=0-9"}, expect=206)


def test_a_content_that_is_cut_while_it_is_sent_ends_the_connection_short(kiln):
    build = run(kiln, LARGE.format("cut.bin"), ["cut.bin"])
    path = stored(kiln, kept(build)["cut.bin"]["sha256"])
    with raw.connect(kiln.system.url, window=WINDOW) as sock:
        sock.sendall(raw.head(kiln.api.token, "GET", link(build, "cut.bin")))
        begun = sock.recv(4096)
        assert begun.startswith(b"HTTP/1.1 200 ")
        path.chmod(0o600)
        os.truncate(path, 1000)
        assert len(begun) + len(raw.read_all(sock)) < LARGE_BYTES
    answer = kiln.api.get(link(build, "cut.bin"), expect=500)
    assert "damaged" in answer.json()["detail"]


def test_a_store_that_hangs_holds_up_no_other_request(kiln, made):
    """With one worker for everything: it opens nothing itself."""
    with ready_gateway(kiln.system, KILN_WORKERS="1", KILN_REQUEST_TIMEOUT_MS="2000") as gateway:
        api, path = kiln.at(gateway), link(made, "out/page.html")

        def refused():
            answer = api.get(path, expect=503)
            return slug(answer) == "overloaded" and answer.json()["detail"]

        with held_threads(gateway.process.pid, "gateway-files"):
            assert wait_for(refused, "the store's time to pass") == "The artifact store does not answer."
            api.get("/projects", expect=200)
        wait_for(lambda: gateway.metric("kiln_gateway_downloads") == 0, "its place to be given back")
        assert api.plain("GET", path).status_code == 200


def test_a_gateway_without_a_store_says_so(kiln, made):
    with ready_gateway(kiln.system, KILN_ARTIFACTS_DIR="") as gateway:
        answer = kiln.at(gateway).get(link(made, "out/empty"), expect=404)
    assert "KILN_ARTIFACTS_DIR" in answer.json()["detail"]
