-- The same project, locked for a change; nothing when it was deleted meanwhile.
SELECT id, name, git_url, branch, credential, concurrency, agent::text AS agent, network::text AS network, settings::text AS settings, version, last_sequence,
	provisional_build, deleted_at IS NOT NULL AS deleted, to_char(created_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"') AS created_at, to_char(updated_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"') AS updated_at
FROM projects
WHERE id = $1::uuid AND deleted_at IS NULL
FOR UPDATE
