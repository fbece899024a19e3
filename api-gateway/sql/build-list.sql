-- A project's builds, newest first: before ($2, $3), from $4 on. (ORDER BY a bare created_at would be by the text that is selected, and sort them all.)
SELECT id, project_id, project_name, status, phase, attempt, attempts_used, max_attempts, worker_id, metadata,
	to_char(created_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"') AS created_at, to_char(started_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"') AS started_at, to_char(finished_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"') AS finished_at
FROM build_audit b
WHERE project_id = $1::uuid AND (created_at, id) < ($2::timestamptz, $3::uuid) AND created_at >= $4::timestamptz
ORDER BY b.created_at DESC, b.id DESC
LIMIT $5::int
