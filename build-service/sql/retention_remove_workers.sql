-- Removes the workers $1, whose rows are locked, when they may still go: not heard of for more than $2 days, and nothing of theirs is held.
WITH removed AS (
	DELETE FROM workers AS w
	WHERE id = ANY ($1::uuid[]) AND state IN ('lost', 'gone') AND heartbeat_at < now() - $2::integer * interval '1 day'
		AND NOT EXISTS (SELECT FROM build_attempts a WHERE a.held AND a.worker_id = w.id)
	RETURNING 1
)
SELECT count(*) AS removed FROM removed
