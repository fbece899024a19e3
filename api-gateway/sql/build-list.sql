-- A project's builds, newest first: before ($2, $3), from $4 on. (ORDER BY a bare created_at would be by the text that is selected, and sort them all.)
-- $5 at most, and none behind those whose metadata has $6 bytes (its length is known without reading it); `more`: another one follows.
SELECT id, project_id, project_name, status, phase, attempt, attempts_used, max_attempts, worker_id, metadata,
	to_char(created_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"') AS created_at, to_char(started_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"') AS started_at, to_char(finished_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"') AS finished_at, more
FROM (
	SELECT *, sum(octet_length(metadata)) OVER page AS bytes_before, lead(true, 1, false) OVER page AS more
	FROM (
		SELECT id, project_id, project_name, status, phase, attempt, attempts_used, max_attempts, worker_id, metadata, created_at, started_at, finished_at
		FROM build_audit
		WHERE project_id = $1::uuid AND (created_at, id) < ($2::timestamptz, $3::uuid) AND created_at >= $4::timestamptz
		ORDER BY created_at DESC, id DESC
		LIMIT $5::int
	) found
	WINDOW page AS (ORDER BY created_at DESC, id DESC ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING)
) b
WHERE coalesce(bytes_before, 0) < $6::bigint
ORDER BY b.created_at DESC, b.id DESC
