"""Lists look at as many rows as a page has, not at as many as there are: the plans of the gateway's statements over 10,000 builds."""

import datetime
import json
import pathlib

import psycopg
import pytest

from databases import PASSWORDS, Database
from kiln_testing import plans
from kiln_testing.plans import nodes, rows_read

SQL = pathlib.Path(__file__).resolve().parents[3] / "api-gateway" / "sql"
PROJECT = "0198c1de-7a3b-7c4d-8e5f-0123456789ab"
OTHER = "0198c1de-7a3b-7c4d-8e5f-fedcba987654"  # a project whose queue is full
BUSY = "0198c1de-7a3b-7c4d-8e5f-aaaaaaaaaaaa"  # one whose only build is held by a worker
IDLE = "0198c1de-7a3b-7c4d-8e5f-bbbbbbbbbbbb"  # one without builds
TOKEN = "0198c1de-7a3b-7c4d-8e5f-000000000001"
ZERO = "00000000-0000-0000-0000-000000000000"
END = ("infinity", ZERO)
MIDDLE = ("2026-01-01T01:30:00Z", ZERO)
LIMIT, KINDS, WALK, BYTES = 51, 251, 2000, 8 << 20
BUILDS, PENDING, OTHERS, HELD = 10_000, 5000, 3000, 20
COMMIT = "c4ca4238a0b923820dcc509a6f75849bc4ca4238"  # of the build 1

FILL = """
INSERT INTO build_audit (id, project_id, project_name, owner, status, max_attempts, class, priority, queue_timeout_s, result, created_at, finished_at,
	branch, template)
SELECT ('0198c1de-0000-7000-8000-' || lpad(to_hex(i), 12, '0'))::uuid, %(project)s, 'p', ('0198c1de-7a3b-7c4d-8e5f-00000000000' || i %% 4)::uuid,
	CASE WHEN i %% 100 = 3 THEN 'failed' WHEN i %% 5000 = 7 THEN 'cancelled' ELSE 'completed' END, 3,
	CASE WHEN i %% 3 = 0 THEN 'claude-code' ELSE 'command' END || CASE i %% 4 WHEN 1 THEN ',gpu' WHEN 2 THEN ',gpu,linux' ELSE '' END, 5, 86400,
	json_build_object('commit_sha', md5(i::text) || left(md5(i::text), 8)), timestamptz '2026-01-01' + i * interval '1 second', now(),
	CASE WHEN i %% 5 = 0 THEN 'fix/' || i / 50 ELSE 'main' END, CASE WHEN i %% 2 = 0 THEN 'review@' || 1 + i %% 3 END
FROM generate_series(1, %(builds)s) AS i;
INSERT INTO ended_builds (project_id, list, status, class, created_at, build_id)
SELECT project_id, list, status, class, created_at, id
FROM build_audit CROSS JOIN LATERAL kiln_build_lists(branch, template, result ->> 'commit_sha') AS list;
INSERT INTO build_audit (id, project_id, project_name, owner, status, phase, max_attempts, class, priority, queue_timeout_s, created_at, asked_branch,
	branch, template)
SELECT ('0198c1de-0000-7000-8001-' || lpad(to_hex(i), 12, '0'))::uuid, CASE WHEN i <= %(pending)s THEN %(project)s::uuid ELSE %(other)s END, 'p', %(token)s, 'pending', 'queued', 3,
	CASE WHEN i %% 3 = 0 THEN 'claude-code' ELSE 'command' END || CASE i %% 4 WHEN 1 THEN ',gpu' WHEN 2 THEN ',gpu,linux' ELSE '' END, 5, 86400,
	timestamptz '2026-01-01' + i * interval '2 seconds', CASE WHEN i %% 10 = 0 THEN 'fix/' || i / 50 WHEN i %% 2 = 1 THEN 'main' END,
	CASE WHEN i %% 10 = 4 THEN 'main' END, CASE WHEN i %% 2 = 0 THEN 'review@' || 1 + i %% 3 WHEN i %% 7 = 0 THEN 'reviews@1' END
FROM generate_series(1, %(pending)s + %(others)s) AS i;
INSERT INTO build_queue (build_id, project_id, class, queue_key, created_at, own_class, branch, template)
SELECT id, project_id, CASE WHEN id::text LIKE '%%7' THEN '*' ELSE class END, created_at, created_at, class, coalesce(branch, asked_branch), template FROM build_audit WHERE finished_at IS NULL;
INSERT INTO build_audit (id, project_id, project_name, owner, status, phase, max_attempts, class, priority, queue_timeout_s, created_at, asked_branch)
SELECT ('0198c1de-0000-7000-8003-' || lpad(to_hex(i), 12, '0'))::uuid, CASE WHEN i = 1 THEN %(busy)s::uuid ELSE %(other)s END, 'p', %(token)s, 'running', 'agent', 3, 'command', 5, 86400,
	timestamptz '2026-01-02' + i * interval '1 second', 'main'
FROM generate_series(1, %(held)s) AS i;
INSERT INTO build_attempts (build_id, attempt, lease_id, worker_id, incarnation, nonce, mode, state, held)
SELECT id, n, gen_random_uuid(), gen_random_uuid(), 1, gen_random_uuid(), 'run', CASE WHEN n = 1 AND phase IS NOT NULL THEN 'accepted' ELSE 'lost' END, n = 1 AND phase IS NOT NULL
FROM build_audit CROSS JOIN generate_series(1, 2) AS n WHERE phase IS DISTINCT FROM 'queued';
INSERT INTO build_requests (build_id, spec)
SELECT ('0198c1de-0000-7000-8003-' || lpad(to_hex(i), 12, '0'))::uuid, json_build_object('prompt', prompt)
FROM (VALUES (1, 'x'), (2, repeat('x', 30000)), (3, repeat('x', 250000)), (4, (SELECT string_agg(md5(n::text), '') FROM generate_series(1, 2000) AS n))) AS specs (i, prompt);
INSERT INTO audit_log (id, time, token_id, route, outcome, resource_type, resource, request_id, address)
SELECT ('0198c1de-0000-7000-8002-' || lpad(to_hex(i), 12, '0'))::uuid, timestamptz '2026-01-01' + i * interval '1 second',
	('0198c1de-7a3b-7c4d-8e5f-00000000000' || i %% 4)::uuid, 'POST /projects', 'created', 'project', 'r' || i / 10, 'x', '::1'
FROM generate_series(1, %(builds)s) AS i;
INSERT INTO projects (id, name, settings, webhook_secret, created_at)
SELECT gen_random_uuid(), 'p' || i, jsonb_build_object('description', text), '', timestamptz '2026-01-01' + i * interval '1 second'
FROM generate_series(1, 60) AS i CROSS JOIN LATERAL (SELECT CASE WHEN i > 30 THEN repeat('x', 4096) ELSE (SELECT string_agg(md5((128 * i + n)::text), '') FROM generate_series(1, 128) AS n) END AS text) texts;
INSERT INTO templates (name, version, text, defaults)
SELECT 't' || lpad(i::text, 2, '0'), version, 'x', jsonb_build_object('k', repeat('x', 4096)) FROM generate_series(1, 60) AS i CROSS JOIN generate_series(1, 2) AS version;
INSERT INTO build_events (build_id, sequence, type, attempt, time, body, hash)
SELECT '0198c1de-0000-7000-8000-000000000001', i, 'build.phase', 1, now(), decode(repeat('78', 4096), 'hex'), '' FROM generate_series(1, 60) AS i;
"""


@pytest.fixture(name="session", scope="module")
def session_fixture(infra, tmp_path_factory):
    """The gateway's role, on a filled database with statistics."""
    database = Database(infra, tmp_path_factory.mktemp("plans"))
    try:
        database.migrate()
        with psycopg.connect(database.url, autocommit=True) as owner:
            values = {"project": PROJECT, "token": TOKEN, "builds": BUILDS, "pending": PENDING, "other": OTHER, "others": OTHERS, "busy": BUSY, "held": HELD}
            psycopg.ClientCursor(owner).execute(FILL, values)
            owner.execute("vacuum analyze")
        with plans.session(database.url_as("kiln_gateway", PASSWORDS["kiln_gateway"])) as session:
            yield session
    finally:
        database.drop()


def run(session, file, *parameters):
    return plans.run(session, (SQL / f"{file}.sql").read_text(encoding="utf-8"), *parameters)


def looked_at(plan):
    """{index: rows that were read through it}; sequential scans fail."""
    found = {}
    for node in nodes(plan):
        assert node["Node Type"] != "Seq Scan", json.dumps(plan, indent=1)
        if "Index Name" in node:
            assert "Index Cond" in node or node["Index Name"] in ("build_attempts_held"), json.dumps(node, indent=1)
            found[node["Index Name"]] = found.get(node["Index Name"], 0) + rows_read(node)
    return found


def sorted_rows(plan):
    """The most that any sort was given."""
    return max((sum(child["Actual Rows"] * child["Actual Loops"] for child in node["Plans"]) for node in nodes(plan) if node["Node Type"] == "Sort"), default=0)


def filtered(status=None, agent=None, labels="{}", branch=None, template=None, commit=None, place=END, since="-infinity"):
    return (PROJECT, status, agent, labels, branch, template, commit, *place, since, LIMIT)


FILTERS = {
    "completed": {"status": "completed"},
    "failed": {"status": "failed"},
    "cancelled": {"status": "cancelled"},
    "pending": {"status": "pending"},
    "agent": {"agent": "claude-code"},
    "no agent": {"agent": "opencode"},
    "label": {"labels": "{gpu}"},
    "labels": {"labels": "{linux,gpu}"},
    "branch": {"branch": "main"},
    "small branch": {"branch": "fix/7"},
    "template": {"template": "review"},
    "version": {"template": "review@2"},
    "name that others begin with": {"template": "revie"},
    "commit": {"commit": COMMIT},
    "status and label": {"status": "cancelled", "labels": "{gpu}"},
    "branch and status": {"branch": "main", "status": "failed"},
    "pending on a branch": {"branch": "main", "status": "pending"},
    "pending with a template": {"template": "review", "status": "pending"},
    "running": {"status": "running"},
    "branch and template": {"branch": "main", "template": "review@2"},
    "small branch and template": {"branch": "fix/7", "template": "review"},
    "agent and version that never meet": {"agent": "claude-code", "template": "review@2"},
    "commit and others": {"commit": COMMIT, "branch": "main", "status": "completed", "agent": "command", "labels": "{gpu}"},
    "everything": {"status": "completed", "agent": "command", "labels": "{gpu}", "branch": "main", "template": "review"},
}
ROWS = 5 * LIMIT  # and a page for each kind; the ended builds of this project have 14, those that wait, which are half as many as they, 6
KINDS_ENDED, KINDS_WAITING = 14, 6


QUEUE = ("build_queue_project", "build_queue_template", "build_queue_branch", "build_queue_both")


@pytest.mark.parametrize("place", [END, MIDDLE], ids=["first", "middle"])
@pytest.mark.parametrize("name", FILTERS)
def test_a_filtered_page_looks_at_its_own_rows(session, name, place):
    _, plan = run(session, "build-list-filtered", *filtered(**FILTERS[name], place=place), KINDS, BYTES)
    found = looked_at(plan)
    ended, waiting = (next(node for node in nodes(plan) if node.get("Subplan Name") == f"CTE {name}")["Actual Rows"] for name in ("known", "known_waiting"))
    assert ended <= KINDS_ENDED and waiting <= KINDS_WAITING
    assert found["ended_builds_pkey"] <= ROWS + ended * LIMIT, found
    assert found.get("build_audit_pkey", 0) <= LIMIT + HELD, found
    assert found.get("build_attempts_held", 0) <= HELD, found
    assert sum(found.get(index, 0) for index in QUEUE) <= (waiting + 1) * (LIMIT + 1), found  # and one look at the beginning of each
    assert set(found) <= {"ended_builds_pkey", "build_audit_pkey", "build_attempts_held", *QUEUE}, found
    assert sorted_rows(plan) <= (ended + waiting) * LIMIT + HELD


@pytest.mark.parametrize("place", [END, MIDDLE], ids=["first", "middle"])
@pytest.mark.parametrize("name", FILTERS)
def test_a_filter_finds_what_looking_at_all_finds(session, name, place):
    rows, _ = run(session, "build-list-filtered", *filtered(**FILTERS[name], place=place), KINDS, BYTES)
    walked, _ = run(session, "build-list-walk", *filtered(**FILTERS[name], place=place), BUILDS + PENDING + 1, BYTES)
    assert [row[1] for row in rows if row[1] is not None] == [row[0] for row in walked]


@pytest.mark.parametrize("place", [END, MIDDLE], ids=["first", "middle"])
@pytest.mark.parametrize("since", ["-infinity", "2026-01-01T01:29:50Z"])
def test_a_page_of_all_builds_looks_at_its_own_rows(session, place, since):
    rows, plan = run(session, "build-list", PROJECT, *place, since, LIMIT, BYTES)
    assert looked_at(plan) == {"build_audit_project": len(rows)}
    assert sorted_rows(plan) == 0


# The parameters but for the last one, and a row's bytes. A page of `limit` rows and one more is asked for.
LISTS = {
    "build-list": ((PROJECT, *END, "-infinity", LIMIT), len("{}")),
    "build-list-filtered": ((*filtered(), KINDS), len("{}")),
    "build-list-walk": ((*filtered(status="failed"), WALK), len("{}")),
    "build-events": (("0198c1de-0000-7000-8000-000000000001", 0, LIMIT), 4096),
    "stream-events": (("0198c1de-0000-7000-8000-000000000001", 0, LIMIT), 4096),
    "template-list": ((None, LIMIT), len('{"k": ""}') + 4096),
    "project-list": ((None, None, None, LIMIT), len('{"description": ""}') + 4096),
    "project-list, as stored": (("2026-01-01T00:00:31Z", ZERO, None, LIMIT), 4096 + 64),  # about
}


@pytest.mark.parametrize("rows_wanted", [1, 5])
@pytest.mark.parametrize("name", LISTS)
def test_a_page_ends_behind_its_bytes_and_says_that_more_follow(session, name, rows_wanted):
    parameters, size = LISTS[name]
    rows, _ = run(session, name.partition(",")[0], *parameters, (rows_wanted - 1) * size + 1)
    assert len(rows) == rows_wanted
    assert all(row[-1] for row in rows)


@pytest.mark.parametrize("name", LISTS)
def test_the_last_row_of_a_list_says_that_none_follows(session, name):
    parameters, _ = LISTS[name]
    rows, _ = run(session, name.partition(",")[0], *(BUILDS * 2 if value == LIMIT else value for value in parameters), BYTES)
    assert [row[-1] for row in rows] == [True] * (len(rows) - 1) + [False]


@pytest.mark.parametrize("name", ["project-list", "build-events", "stream-events"])
def test_a_page_that_ends_early_reads_no_more_than_a_page_has(session, name):
    parameters, _ = LISTS[name]
    _, plan = run(session, name, *parameters, 1)
    assert max(rows_read(node) for node in nodes(plan) if "Scan" in node["Node Type"]) <= 2 * LIMIT, json.dumps(plan, indent=1)


def test_a_project_with_too_many_kinds_is_walked_in_bounded_steps(session):
    rows, plan = run(session, "build-list-walk", *filtered(status="cancelled"), WALK, BYTES)
    assert looked_at(plan) == {"build_audit_project": WALK}
    assert sorted_rows(plan) <= LIMIT
    assert rows[-1][-4:-2] == (False, True), "the last one only says where to go on"


@pytest.mark.parametrize(("project", "active"), [(OTHER, "0198c1de-0000-7000-8001-"), (BUSY, "0198c1de-0000-7000-8003-"), (IDLE, None)], ids=["queued", "held", "none"])
def test_a_build_that_has_not_ended_is_found_by_its_project_however_many_others_wait(session, project, active):
    rows, plan = run(session, "project-active-build", project)
    found = looked_at(plan)
    assert [str(row[0])[:24] for row in rows] == ([active] if active else [])
    assert found["build_queue_project"] <= 1 and found["build_attempts_held"] <= HELD and found["build_audit_pkey"] <= HELD, found


def test_only_builds_that_are_not_long_are_read_together_however_small_they_are_stored(session):
    builds = [f"0198c1de-0000-7000-8003-{number:012x}" for number in range(1, 6)]  # short, shorter and longer than may be, not compressible, without a request
    rows, plan = run(session, "build-rows", f"{{{','.join(builds)}}}")
    assert sorted(str(row[0]) for row in rows) == builds[:2]
    assert set(looked_at(plan)) <= {"build_audit_pkey", "build_requests_pkey"}


def test_keys_are_looked_up_by_key_also_in_tables_that_are_known_as_empty(session):
    builds = [f"0198c1de-0000-7000-8003-{number:012x}" for number in range(1, 6)]
    rows, plan = run(session, "key-rows", f"{{{','.join(builds)}}}", "{0,1,2,3,4}")
    assert sorted((str(row[0]), row[1]) for row in rows) == [(build, True) for build in builds]
    assert set(looked_at(plan)) == {"build_audit_pkey", "pruned_builds_pkey", "consumer_offsets_pkey"}


@pytest.mark.parametrize("place", [END, MIDDLE], ids=["first", "middle"])
def test_a_page_of_the_audit_looks_at_its_own_rows(session, place):
    rows, plan = run(session, "audit-list", *place, "-infinity", LIMIT)
    found = looked_at(plan)
    assert len(rows) == LIMIT
    assert found["build_audit_posted"] <= LIMIT, found
    assert found["audit_log_time"] <= LIMIT, found
    assert sorted_rows(plan) <= 2 * LIMIT


@pytest.mark.parametrize("since", ["-infinity", "2026-01-01T01:29:50Z"])
@pytest.mark.parametrize("place", [END, MIDDLE], ids=["first", "middle"])
@pytest.mark.parametrize("token", [f"{TOKEN[:-1]}2", TOKEN, PROJECT], ids=["some", "most", "none"])
def test_a_tokens_page_of_the_audit_looks_at_its_own_rows(session, token, place, since):
    rows, plan = run(session, "audit-token", *place, since, LIMIT, token)
    found = looked_at(plan)
    assert found["build_audit_token"] + found["audit_log_token"] <= 2 * len(rows), found
    assert set(found) <= {"build_audit_token", "audit_log_token", "build_requests_pkey", "api_tokens_pkey"}, found
    assert sorted_rows(plan) <= 2 * LIMIT
    assert bool(rows) == (token != PROJECT)


def test_the_pages_of_a_tokens_audit_are_all_of_its_writes_in_order(session):
    token = f"{TOKEN[:-1]}2"
    builds = session.execute("select id from build_audit where owner = %s", [token]).fetchall()
    [[last]] = session.execute("select max(time) from audit_log where token_id = %s", [token]).fetchall()
    since = str(last - datetime.timedelta(seconds=400))
    every, _ = run(session, "audit-list", *END, since, 2 * BUILDS)
    wanted = [(row[1], row[0]) for row in every if str(row[2]) == token]
    told, place = [], END
    while place is not None:
        rows, _ = run(session, "audit-token", *place, since, LIMIT, token)
        told += [(row[1], row[0]) for row in rows]
        place = (rows[-1][1], rows[-1][0]) if len(rows) == LIMIT else None
    assert told == wanted and 100 < len(told) < len(builds)


def test_a_resource_in_the_audit_is_found_by_index(session):
    rows, plan = run(session, "audit-resource", *END, "-infinity", LIMIT, None, "r77")
    assert (len(rows), looked_at(plan)["audit_log_resource"]) == (10, 10)
    build = "0198c1de-0000-7000-8000-000000000001"
    rows, plan = run(session, "audit-resource", *END, "-infinity", LIMIT, None, build)
    assert ([str(row[0]) for row in rows], looked_at(plan)["build_audit_pkey"]) == ([build], 1)
