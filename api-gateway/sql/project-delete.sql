-- Deleted, under its lock: the row stays for its builds, the name is free. Gateways are told.
UPDATE projects
SET deleted_at = now(), version = version + 1, last_sequence = last_sequence + 1, updated_at = now()
WHERE id = $1::uuid
RETURNING id, name, git_url, branch, credential, concurrency, agent::text AS agent, network::text AS network, settings::text AS settings, version, last_sequence,
	provisional_build, deleted_at IS NOT NULL AS deleted, to_char(created_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"') AS created_at, to_char(updated_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"') AS updated_at,
	pg_notify('kiln_caches', '') AS told
