-- Those of the builds $1 that are there and small enough to be read together with others. By few columns and joins: the fewer, the less a statement costs before its first row.
SELECT b.id, b.project_name, b.status, b.project_id, b.phase, b.attempt, b.attempts_used, b.max_attempts, b.worker_id,
	to_char(b.created_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"') AS created_at, to_char(b.started_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"') AS started_at, to_char(b.finished_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"') AS finished_at,
	b.retry_of, r.spec::text AS spec, b.result::text AS result
FROM build_audit b
JOIN build_requests r ON r.build_id = b.id
WHERE b.id = ANY ($1::uuid[]) AND coalesce(pg_column_size(r.spec), 0) + coalesce(pg_column_size(b.result), 0) <= 16384
