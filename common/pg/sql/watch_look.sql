-- Which sessions of my own role block the sessions $1, directly or through others, and wait for their client? wait_event and query_start of other roles are not
-- visible. In pipeline mode such a session is "active", not "idle in transaction": its state says nothing.
WITH RECURSIVE blocker (pid) AS (
	SELECT unnest(pg_blocking_pids(waiting)) FROM unnest($1::integer[]) AS waiting
	UNION
	SELECT unnest(pg_blocking_pids(pid)) FROM blocker
)
SELECT activity.pid, activity.query_start, activity.backend_start
FROM blocker JOIN pg_stat_activity AS activity USING (pid)
WHERE activity.usename = current_user AND activity.wait_event = 'ClientRead'
