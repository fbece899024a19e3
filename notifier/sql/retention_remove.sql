-- Removes the 200 oldest deliveries that were made more than $1 days ago and have ended, with their attempts.
WITH old AS MATERIALIZED (
	SELECT id FROM webhook_deliveries
	WHERE created_at < now() - $1::integer * interval '1 day' AND state <> 'pending'
	ORDER BY created_at LIMIT 200 FOR UPDATE SKIP LOCKED
), removed AS (
	DELETE FROM webhook_deliveries AS d USING old WHERE d.id = old.id RETURNING 1
)
SELECT count(*) AS removed FROM removed
