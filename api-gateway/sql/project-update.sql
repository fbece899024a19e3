-- A project's new settings, under its lock; nothing when they are what it has. The version is the ETag; the sequence is that of project.changed. Gateways are told, and dispatchers:
-- its limit may have been raised.
UPDATE projects
SET git_url = $2, branch = $3, credential = $4, concurrency = $5::int, agent = $6::jsonb, settings = $7::jsonb, network = $8::jsonb,
	version = version + 1, last_sequence = last_sequence + 1, updated_at = now()
WHERE id = $1::uuid AND (git_url, branch, credential, concurrency, agent, settings, network) IS DISTINCT FROM ($2, $3, $4, $5::int, $6::jsonb, $7::jsonb, $8::jsonb)
RETURNING id, name, git_url, branch, credential, concurrency, agent::text AS agent, network::text AS network, settings::text AS settings, version, last_sequence,
	provisional_build, deleted_at IS NOT NULL AS deleted, to_char(created_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"') AS created_at, to_char(updated_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"') AS updated_at,
	pg_notify('kiln_caches', id::text) AS told
