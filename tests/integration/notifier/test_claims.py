"""What a claim of webhooks looks at, whatever else waits."""
import json
import pathlib

import pytest

from databases import PASSWORDS
from kiln_testing import plans

CLAIM = (pathlib.Path(__file__).resolve().parents[3] / "notifier" / "sql" / "claim.sql").read_text(encoding="utf-8")
FULL = "crowded.example:8080"  # a host with as many attempts under way as it may have
HOST_BYTES = 4194304  # of the bodies that one host may have under way
SLICE = 512  # of deliveries, and of hosts
PER_PROJECT, PROJECT_BYTES = 32, 8388608  # that one project may have under way
ANOTHER = "00000000-0000-4000-8000-000000000001"  # project
COLUMNS = ("walk", "ms", "id", "event_id", "event_type", "build_id", "url", "host", "project_id")


@pytest.fixture
def claim(own_builds):
    """Claims of an instance with eight attempts under way at FULL, or others, of one byte each or others, and what its project has; all of them rolled back."""

    def claims(walk="", attempts=8, under_way=8, of_project=(0, 0)):
        """(rows, how many deliveries were looked at)"""
        busy = (f"{{{own_builds.project}}}", *(f"{{{number}}}" for number in of_project)) if of_project[0] else ("{}", "{}", "{}")
        rows, plan = plans.run(
            session, CLAIM, 64, 16777216, 8, HOST_BYTES, 60000, f"{{{FULL}}}", f"{{{attempts}}}", f"{{{under_way}}}", walk, PER_PROJECT, PROJECT_BYTES, *busy
        )
        scans = [node for node in plans.nodes(plan) if node.get("Relation Name") == "webhook_deliveries" and node["Node Type"] != "ModifyTable"]
        assert all(node["Node Type"] == "Index Scan" for node in scans), json.dumps(plan, indent=1)
        # A look that finds nothing is one as well.
        return [dict(zip(COLUMNS, row)) for row in rows], sum(max(plans.rows_read(node), node["Actual Loops"]) for node in scans)

    with plans.session(own_builds.database.url_as("kiln_notifier", PASSWORDS["kiln_notifier"])) as session:
        yield claims


def analyze(builds):
    builds.database.sql("vacuum analyze webhook_deliveries")


@pytest.mark.parametrize("analyzed", [False, True], ids=["without statistics", "with statistics"])
def test_a_claim_gets_past_all_that_waits_for_a_full_host(own_builds, claim, analyzed):
    own_builds.waiting(f"http://{FULL}/", 100_000, "-1 hour")
    own_builds.waiting("http://other.example/", 1, "-1 second")
    if analyzed:
        analyze(own_builds)
    rows, seen = claim()
    assert [(row["host"], row["walk"], row["ms"]) for row in rows] == [("other.example", "", 0)]
    assert seen < SLICE + 50


@pytest.mark.parametrize("analyzed", [False, True], ids=["without statistics", "with statistics"])
def test_a_claim_does_not_ask_each_host_when_nothing_is_due(own_builds, claim, analyzed):
    own_builds.waiting("http://#.example/", 10_000, "1 hour")
    if analyzed:
        analyze(own_builds)
    [row], seen = claim()
    assert row["id"] is None and 3_000_000 < row["ms"] <= 3_600_001
    assert seen < SLICE + 50


def test_with_a_crowd_and_many_hosts_claims_go_on_from_host_to_host(own_builds, claim):
    own_builds.waiting(f"http://{FULL}/", 100_000, "-1 hour")
    own_builds.waiting("http://#.example/", 10_000, "1 hour")
    own_builds.waiting("http://zzz.example/", 20, "-1 second")
    analyze(own_builds)
    walks = [""]
    while len(walks) <= 10_000 / SLICE + 1:
        rows, seen = claim(walks[-1])
        assert seen <= 3 * SLICE
        walks.append(rows[0]["walk"])
        if rows[0]["id"] is not None:
            break
        assert rows[0]["ms"] == 100
    assert [row["host"] for row in rows] == ["zzz.example"] * 8, walks
    assert walks == sorted(walks[:-1]) + [""], "it begins anew after the last host"


def test_a_walk_that_began_in_the_middle_is_not_the_last_one(own_builds, claim):
    own_builds.waiting(f"http://{FULL}/", SLICE, "-1 hour")
    own_builds.waiting("http://other.example/", 1, "1 hour")
    [row], _ = claim("d")
    assert row["id"] is None and row["walk"] == "" and row["ms"] == 100
    [row], _ = claim(row["walk"])
    assert row["id"] is None and row["walk"] == "" and row["ms"] > 3_000_000


def test_the_next_claim_is_for_what_comes_due_at_a_host_with_room(own_builds, claim):
    own_builds.waiting(f"http://{FULL}/", 10, "1 hour")
    own_builds.waiting("http://other.example/", 1, "2 hours")
    [row], _ = claim()
    assert row["ms"] > 7_000_000


def test_the_next_claim_is_not_later_than_what_it_has_looked_at(own_builds, claim):
    own_builds.waiting(f"http://{FULL}/", 2 * SLICE, "1 hour")
    own_builds.waiting("http://other.example/", 1, "2 hours")
    [row], seen = claim()
    assert 3_000_000 < row["ms"] <= 3_600_001
    assert seen < SLICE + 50


@pytest.mark.parametrize("analyzed", [False, True], ids=["without statistics", "with statistics"])
def test_a_claim_gets_past_a_host_without_room_for_its_next_body(own_builds, claim, analyzed):
    own_builds.waiting(f"http://{FULL}/", 10_000, "-1 hour", body="xx")
    own_builds.waiting("http://other.example/", 1, "-1 second")
    if analyzed:
        analyze(own_builds)
    rows, seen = claim(attempts=1, under_way=HOST_BYTES - 1)
    assert [(row["host"], row["walk"], row["ms"]) for row in rows] == [("other.example", "", 0)]
    assert seen < SLICE + 50


def test_a_host_gets_bodies_as_long_as_they_fit(own_builds, claim):
    own_builds.waiting(f"http://{FULL}/", 7, "-1 hour", body="x" * 1000)
    rows, _ = claim(attempts=1, under_way=HOST_BYTES - 2999)
    assert [row["host"] for row in rows] == [FULL] * 2


def test_a_host_without_any_under_way_gets_one_body_however_large(own_builds, claim):
    own_builds.waiting("http://other.example/", 2, "-1 hour", body="x" * (HOST_BYTES + 1))
    rows, _ = claim()
    assert [row["host"] for row in rows] == ["other.example"]


def test_the_next_claim_is_for_what_comes_due_and_fits(own_builds, claim):
    own_builds.waiting(f"http://{FULL}/", 10, "1 hour", body="xx")
    own_builds.waiting("http://other.example/", 1, "2 hours")
    [row], _ = claim(attempts=1, under_way=HOST_BYTES - 1)
    assert row["ms"] > 7_000_000


@pytest.mark.parametrize("of_project", [(PER_PROJECT, PER_PROJECT), (1, PROJECT_BYTES - 1)], ids=["attempts", "bytes"])
def test_a_claim_gets_past_a_project_without_room_also_at_the_same_host(own_builds, claim, of_project):
    own_builds.waiting("http://#.example/", 10_000, "-1 hour", body="xx")
    own_builds.waiting("http://000300.example/", 1, "-1 second", project=ANOTHER)
    rows, seen = claim(of_project=of_project)
    assert [(row["host"], str(row["project_id"])) for row in rows] == [("000300.example", ANOTHER)]
    assert seen < 3 * SLICE + 50


def test_a_project_gets_webhooks_to_many_hosts_as_long_as_it_has_room(own_builds, claim):
    own_builds.waiting(f"http://{FULL}/", 400, "-2 hours")  # what waits for that host takes none of it
    own_builds.waiting("http://#.example/", 100, "-1 hour", body="x" * 1000)
    assert len(claim()[0]) == PER_PROJECT
    assert len(claim(of_project=(PER_PROJECT - 2, 2))[0]) == 2
    assert len(claim(of_project=(1, PROJECT_BYTES - 2999))[0]) == 2


def test_the_next_claim_is_for_what_comes_due_of_a_project_with_room(own_builds, claim):
    own_builds.waiting("http://one.example/", 10, "1 hour")
    own_builds.waiting("http://other.example/", 1, "2 hours", project=ANOTHER)
    [row], _ = claim(of_project=(PER_PROJECT, PER_PROJECT))
    assert row["ms"] > 7_000_000


@pytest.mark.parametrize(
    "authority, host",
    [
        ("http://Evil.EXAMPLE", "evil.example"),
        ("http://evil.example.", "evil.example"),
        ("http://evil.example:80", "evil.example"),
        ("http://evil.example.:080", "evil.example"),
        ("HTTPS://evil.example:00443", "evil.example"),
        ("https://evil.example:80", "evil.example:80"),
        ("http://evil.example:443", "evil.example:443"),
        ("http://evil.example:08080", "evil.example:8080"),
        ("http://127.0.0.1.:80", "127.0.0.1"),
        ("http://[2001:DB8::80]", "[2001:db8::80]"),
        ("http://[2001:db8::80]:080", "[2001:db8::80]"),
        ("http://[2001:db8::80]:8443", "[2001:db8::80]:8443"),
        ("http://:80", "?"),
        ("evil.example", "?"),
    ],
)
def test_a_host_is_the_same_however_it_is_spelled(shared_database, authority, host):
    for rest in ["", "/a:80/", "?a:80", "#a:80/"]:
        assert shared_database.sql("select kiln_webhook_host(%s)", authority + rest) == [(host,)], rest
