-- The next version of a template. Two at once: one fails on the key and is tried again. Gateways are told.
INSERT INTO templates (name, version, text, defaults, description, created_by)
SELECT $1, coalesce(max(version), 0) + 1, $2, $3::jsonb, $4, $5::uuid
FROM templates
WHERE name = $1
RETURNING name, version, text, defaults::text AS defaults, description, to_char(created_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"') AS created_at,
	pg_notify('kiln_caches', '') AS told
