-- Still provisional, with all requests applied that could have changed it: the build will not come. Gateways are told which: no row
-- is left that would show it to them. Its end is announced as after a DELETE by the gateway, unless one has (`deleted`).
-- $1 projects, $2 their builds
DELETE FROM projects p USING unnest($1::uuid[], $2::uuid[]) AS old (id, build_id)
WHERE p.id = old.id AND p.provisional_build = old.build_id
	AND NOT EXISTS (SELECT 1 FROM build_audit b WHERE b.id = old.build_id)
RETURNING p.id, p.name, p.git_url, p.branch, p.credential, p.concurrency, p.agent::text AS agent, p.network::text AS network, p.version + 1 AS version,
	p.last_sequence + 1 AS last_sequence, p.deleted_at IS NOT NULL AS deleted, to_char(p.created_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"') AS created_at,
	to_char(now() AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"') AS updated_at, pg_notify('kiln_caches', p.id::text || ' ' || p.name) AS told
