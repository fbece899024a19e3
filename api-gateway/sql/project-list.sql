-- Projects, newest first, after ($1, $2) if given; $3: only these names (a JSON array). A provisional one joins when its build was applied.
SELECT id, name, git_url, branch, credential, concurrency, agent::text AS agent, network::text AS network, settings::text AS settings, version, last_sequence,
	provisional_build, deleted_at IS NOT NULL AS deleted, to_char(created_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"') AS created_at, to_char(updated_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"') AS updated_at
FROM projects l
WHERE deleted_at IS NULL AND provisional_build IS NULL
	AND ($1::timestamptz IS NULL OR (created_at, id) < ($1::timestamptz, $2::uuid))
	AND ($3::jsonb IS NULL OR name IN (SELECT jsonb_array_elements_text($3::jsonb)))
ORDER BY l.created_at DESC, l.id DESC
LIMIT $4::int
