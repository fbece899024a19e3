-- The second look: of the sessions of the first one ($2 pid, $3 query_start, $4 backend_start), those that still block $1 and still wait for their client in the same
-- statement are ended. Nobody else is.
WITH RECURSIVE blocker (pid) AS (
	SELECT unnest(pg_blocking_pids(waiting)) FROM unnest($1::integer[]) AS waiting
	UNION
	SELECT unnest(pg_blocking_pids(pid)) FROM blocker
), stuck AS MATERIALIZED (
	SELECT activity.pid
	FROM blocker
	JOIN pg_stat_activity AS activity USING (pid)
	JOIN unnest($2::integer[], $3::timestamptz[], $4::timestamptz[]) AS first (pid, query_start, backend_start)
		ON first.pid = activity.pid AND first.query_start = activity.query_start AND first.backend_start = activity.backend_start
	WHERE activity.usename = current_user AND activity.wait_event = 'ClientRead'
)
SELECT pid, pg_terminate_backend(pid) AS ended FROM stuck
