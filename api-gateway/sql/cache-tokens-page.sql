-- Tokens that work, the newest first (ids are in the order of time), before $1. $2: at most so many.
SELECT id, name, encode(hash, 'hex') AS hash, to_json(scopes)::text AS scopes, to_json(projects)::text AS projects, max_priority,
	CASE WHEN isfinite(expires_at) THEN (extract(epoch FROM expires_at) * 1000000)::bigint END AS expires_us
FROM api_tokens
WHERE id < $1::uuid AND revoked_at IS NULL AND (expires_at IS NULL OR expires_at > now())
ORDER BY id DESC
LIMIT $2::int
