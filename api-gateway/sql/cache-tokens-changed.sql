-- Tokens made or revoked in the last $1 seconds; the window is wider than any transaction lasts, so that none is missed by committing late.
SELECT id, name, encode(hash, 'hex') AS hash, to_json(scopes)::text AS scopes, to_json(projects)::text AS projects, max_priority,
	CASE WHEN isfinite(expires_at) THEN (extract(epoch FROM expires_at) * 1000000)::bigint END AS expires_us,
	revoked_at IS NOT NULL AS revoked
FROM api_tokens
WHERE updated_at > now() - $1::int * interval '1 second'
