-- The token of this hash (hex), if it works.
SELECT id, name, encode(hash, 'hex') AS hash, to_json(scopes)::text AS scopes, to_json(projects)::text AS projects, max_priority,
	CASE WHEN isfinite(expires_at) THEN (extract(epoch FROM expires_at) * 1000000)::bigint END AS expires_us,
	revoked_at IS NOT NULL AS revoked
FROM api_tokens
WHERE hash = decode($1, 'hex') AND revoked_at IS NULL
