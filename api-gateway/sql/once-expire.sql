-- Deletes keys that are older than a day, $1 at most; several gateways may do this at once.
DELETE FROM idempotency_keys
WHERE id IN (
	SELECT id
	FROM idempotency_keys
	WHERE created_at <= now() - interval '24 hours'
	LIMIT $1::int
	FOR UPDATE SKIP LOCKED)
