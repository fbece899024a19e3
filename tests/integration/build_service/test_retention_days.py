"""Log lines that might stay longer than their build."""
from kiln_testing.waiting import wait_for
from playing import new_id

SETTINGS = {"KILN_RETENTION_EVERY_S": "1", "KILN_RETENTION_LOGS_DAYS": "500", "KILN_RETENTION_TRAIL_DAYS": "400"}


def test_log_lines_that_are_as_old_as_a_trail_may_be_go_by_themselves(gateway):
    build, project = new_id(), gateway.project()
    gateway.sql(
        "insert into build_audit (id, project_id, project_name, status, max_attempts, class, priority, queue_timeout_s, created_at, finished_at)"
        " values (%s, %s, 'p', 'failed', 3, 'command', 5, 1, now() - interval '410 days', now())",
        build,
        project["id"],
    )
    for first_line, days in ((1, 401), (2, 399)):
        gateway.sql(
            f"insert into build_logs (build_id, attempt, first_line, line_count, lines, stored_at) values (%s, 1, %s, 1, '', now() - interval '{days} days')", build, first_line
        )
    wait_for(lambda: gateway.sql("select first_line from build_logs where build_id = %s", build) == [(2,)], "the old line to go")
    assert gateway.sql("select 1 from build_audit where id = %s", build)
