-- Which tokens were made or revoked in the last $1 seconds; the window is wider than any transaction lasts, so that none is missed by committing late.
-- $2: at most so many, the latest.
SELECT encode(hash, 'hex') AS hash, revoked_at IS NOT NULL AS revoked
FROM api_tokens
WHERE updated_at > now() - $1::int * interval '1 second'
ORDER BY updated_at DESC
LIMIT $2::int
