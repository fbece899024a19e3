-- When the next delivery is due that nobody has claimed, in ms from now; $1: hosts without room.
SELECT floor(extract(epoch FROM next_attempt_at - now()) * 1000)::bigint AS ms
FROM webhook_deliveries
WHERE state = 'pending' AND claimed_until IS NULL
	AND coalesce(substring(lower(url) FROM '^https?://([^/?#]+)'), '') <> ALL ($1::text[])
ORDER BY next_attempt_at
LIMIT 1;
