-- Every token that works. $1: at most so many, the newest.
SELECT id, name, encode(hash, 'hex') AS hash, to_json(scopes)::text AS scopes, to_json(projects)::text AS projects, max_priority,
	CASE WHEN isfinite(expires_at) THEN (extract(epoch FROM expires_at) * 1000000)::bigint END AS expires_us,
	revoked_at IS NOT NULL AS revoked
FROM api_tokens
WHERE revoked_at IS NULL AND (expires_at IS NULL OR expires_at > now())
ORDER BY created_at DESC
LIMIT $1::bigint
