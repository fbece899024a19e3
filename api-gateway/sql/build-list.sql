-- A project's builds, newest first, after ($3, $4) if given; $2: only this status.
SELECT id, project_id, project_name, status, phase, attempt, attempts_used, max_attempts, worker_id, metadata,
	to_char(created_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"') AS created_at, to_char(started_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"') AS started_at, to_char(finished_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"') AS finished_at
FROM build_audit
WHERE project_id = $1::uuid
	AND ($2::text IS NULL OR status = $2)
	AND ($3::timestamptz IS NULL OR (created_at, id) < ($3::timestamptz, $4::uuid))
ORDER BY created_at DESC, id DESC
LIMIT $5::int
