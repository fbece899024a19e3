"""Every statement of build-service/sql, and those of the outbox that read or change much, as the service's role may run it, and by index whatever the statistics say."""
import concurrent.futures
import contextlib
import pathlib
import re

import psycopg
import pytest

from databases import PASSWORDS
from kiln_testing import plans
from kiln_testing.waiting import wait_for
from playing import new_id

SQL = pathlib.Path(__file__).resolve().parents[3] / "build-service" / "sql"
FILES = sorted([*SQL.glob("*.sql"), *(SQL.parent / "matching" / "sql").glob("*.sql"), *(SQL.parents[1] / "common" / "pg" / "sql").glob("outbox_[rs]*.sql")])
CANDIDATES = SQL.parent / "matching" / "sql" / "match_candidates.sql"
UNPARK = SQL / "unpark.sql"
LINES = 200  # of builds that are parked: one for each project
QUEUE = (
    "insert into projects (id, name, concurrency, webhook_secret) select gen_random_uuid(), 'line-' || i, 1, '' from generate_series(1, %(lines)s) as i",
    "insert into project_slots (project_id, n, build_id) select id, 1, gen_random_uuid() from projects",
    "insert into build_queue (build_id, project_id, class, queue_key, created_at, own_class, parked)"
    " select gen_random_uuid(), id, 'command', now(), now(), 'command', true from projects",
    "insert into workers (id, partition, incarnation, nonce, slots, read_offset, hello_at, heartbeat_at, state, agents)"
    " values (gen_random_uuid(), 0, 1, gen_random_uuid(), 4, 0, now(), now(), 'active', '{command}')",
)
# Tables that grow with the number of builds; the others are as small as the fleet, or the queue's front.
LARGE = ("build_audit", "build_attempts", "build_events", "build_queue", "build_logs")


@pytest.fixture(scope="module")
def session(shared_database):
    with plans.session(shared_database.url_as("kiln_build_service", PASSWORDS["kiln_build_service"])) as connection:
        yield connection


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_a_statement_is_allowed_and_goes_by_index(session, file):
    text = file.read_text(encoding="utf-8")
    assert text.startswith("--"), "a statement begins with what it is for"
    plan = plans.plan_of(session, text)
    lines = plan.splitlines()
    for number, line in enumerate(lines):
        assert not re.search(rf"Seq Scan on ({'|'.join(LARGE)})\b", line), plan
        if re.search(r"Index.* Scan using \S+_pkey on (build_audit|build_attempts|build_events|build_queue)\b", line):
            assert "Index Cond" in lines[number + 1], plan
        assert not re.search(r"Index.* Scan using build_audit_project\w* on build_audit", line), f"all builds of a project:\n{plan}"


@contextlib.contextmanager
def full_projects(database):
    """Each has a running build and one that is parked; the only worker has four free slots."""
    with plans.session(database.url) as connection, connection.transaction(force_rollback=True):
        for statement in QUEUE:
            connection.execute((statement % {"lines": LINES}).encode())
        yield connection


def text_of(file):
    return file.read_text(encoding="utf-8")


def rows_of(plan):
    return sum(map(plans.rows_read, plans.nodes(plan)))


def test_a_match_does_not_look_at_builds_that_are_parked(shared_database):
    with full_projects(shared_database) as connection:
        found, plan = plans.run(connection, text_of(CANDIDATES), 8000, 500, 0)
        assert found == [] and rows_of(plan) < 20


def test_who_looks_at_all_projects_looks_at_each_once(shared_database):
    """Not at each once for each: the sessions' joins compare pair by pair."""
    with full_projects(shared_database) as connection:
        found, plan = plans.run(connection, text_of(UNPARK), None, 500)
        assert found == [(0,)] and rows_of(plan) < 20 * LINES


def test_who_looks_at_one_project_looks_at_no_other(shared_database):
    with full_projects(shared_database) as connection:
        [(project,)] = connection.execute("select id from projects limit 1").fetchall()
        connection.execute("delete from project_slots where project_id = %s", (project,))
        found, plan = plans.run(connection, text_of(UNPARK), [project], 500)
        assert found == [(1,)] and rows_of(plan) < 50


def unpark(connection, projects=None, most=500):
    return connection.execute(re.sub(r"\$(\d)", r"%(p\1)s", text_of(UNPARK).replace("%", "%%")).encode(), {"p1": projects, "p2": most}).fetchall()[0][0]


def test_no_more_come_back_than_there_is_room_for_in_each_line(shared_database):
    """The first ones, and those that came back before count, by class."""
    with full_projects(shared_database) as connection:
        [(project,)] = connection.execute("update projects set concurrency = 3 where id = (select id from projects limit 1) returning id").fetchall()
        connection.execute(
            "insert into build_queue (build_id, project_id, class, queue_key, created_at, own_class, parked)"
            " select gen_random_uuid(), %s, class, now() + i * interval '1 s', now(), class, true from generate_series(1, 3) as i, unnest('{command,other}'::text[]) as class",
            (project,),
        )
        assert unpark(connection) == 4 and unpark(connection) == 0
        counts = "select class, parked, count(*), max(queue_key) <= now() + interval '2 s' from build_queue where project_id = %s group by 1, 2 order by 1, 2"
        assert connection.execute(counts, (project,)).fetchall() == [("command", False, 2, True), ("command", True, 2, False), ("other", False, 2, True), ("other", True, 1, False)]
        connection.execute("delete from build_queue where project_id = %s and class = 'other' and not parked", (project,))
        assert unpark(connection) == 1


def test_of_a_project_without_a_limit_so_many_come_back_at_once(shared_database):
    with full_projects(shared_database) as connection:
        connection.execute("update projects set concurrency = null")
        assert [unpark(connection, most=150) for _ in range(3)] == [150, LINES - 150, 0]


def test_nobody_comes_back_to_a_project_that_is_gone(shared_database):
    with full_projects(shared_database) as connection:
        connection.execute("delete from projects")
        assert unpark(connection) == 0


def test_a_match_looks_at_no_worker_that_is_not_there(shared_database):
    with plans.session(shared_database.url) as connection, connection.transaction(force_rollback=True):
        connection.execute(
            "insert into workers (id, partition, incarnation, nonce, slots, read_offset, hello_at, heartbeat_at, state)"
            " select gen_random_uuid(), 0, 1, gen_random_uuid(), 1, 0, now(), now(), 'lost' from generate_series(1, 1000)"
        )
        _, plan = plans.run(connection, (CANDIDATES.parent / "match_workers.sql").read_text(encoding="utf-8"), 8000)
        assert rows_of(plan) < 1000


def test_the_mark_of_removed_log_lines_goes_with_their_build(shared_database):
    build = new_id()
    shared_database.sql(
        "insert into build_audit (id, project_id, project_name, status, max_attempts, class, priority, queue_timeout_s, created_at, finished_at)"
        " values (%s, gen_random_uuid(), 'p', 'failed', 3, 'command', 5, 1, now() - interval '450 days', now() - interval '450 days')",
        build,
    )
    shared_database.sql("insert into build_logs (build_id, attempt, first_line, line_count, lines) values (%s, 1, 1, 1, '')", build)
    url = shared_database.url_as("kiln_build_service", PASSWORDS["kiln_build_service"])
    with psycopg.connect(url) as logs, psycopg.connect(url) as builds, concurrent.futures.ThreadPoolExecutor(1) as side:
        for name, arguments in (("lock_builds", "uuid[]"), ("retention_remove_builds", "uuid[], integer")):
            builds.execute(f"prepare {name} ({arguments}) as {(SQL / (name + '.sql')).read_text(encoding='utf-8')}".encode())
        builds.execute(f"execute lock_builds('{{{build}}}')".encode())
        logs.execute("set local lock_timeout = '20s'")  # it must not wait for the build's row: the other will wait for it
        logs.execute("delete from build_logs where build_id = %s", (build,))
        removing = side.submit(builds.execute, f"execute retention_remove_builds('{{{build}}}', 400)".encode())
        wait_for(lambda: shared_database.sql("select cardinality(pg_blocking_pids(%s))", builds.info.backend_pid) == [(1,)], "it to wait")
        assert logs.execute("select last_line from build_logs_gone where build_id = %s", (build,)).fetchall() == [(1,)]
        logs.commit()
        assert removing.result(60).fetchall() == [(1,)]
        builds.commit()
    assert shared_database.sql("select 1 from build_logs_gone where build_id = %s", build) == []
