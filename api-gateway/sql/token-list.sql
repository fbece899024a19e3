-- Tokens that are not revoked and have no more than scopes $3 and projects $4 (JSON arrays; NULL: any), newest first, after ($1, $2) if given.
SELECT id, name, encode(hash, 'hex') AS hash, to_json(scopes)::text AS scopes, to_json(projects)::text AS projects, max_priority,
	CASE WHEN isfinite(expires_at) THEN (extract(epoch FROM expires_at) * 1000000)::bigint END AS expires_us,
	to_char(expires_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"') AS expires_at, to_char(created_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"') AS created_at
FROM api_tokens l
WHERE revoked_at IS NULL
	AND ($1::timestamptz IS NULL OR (created_at, id) < ($1::timestamptz, $2::uuid))
	AND ($3::jsonb IS NULL OR to_jsonb(scopes) <@ $3::jsonb)
	AND ($4::jsonb IS NULL OR to_jsonb(projects) <@ $4::jsonb)
ORDER BY l.created_at DESC, l.id DESC
LIMIT $5::int
