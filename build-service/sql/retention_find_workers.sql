-- 100 workers that may go: lost or gone, holding nothing, and not heard of for more than $1 days.
WITH old AS MATERIALIZED (
	SELECT id FROM workers AS w
	WHERE state IN ('lost', 'gone') AND heartbeat_at < now() - $1::integer * interval '1 day'
		AND NOT EXISTS (SELECT FROM build_attempts a WHERE a.held AND a.worker_id = w.id)
	LIMIT 100
)
SELECT array_agg(id)::text AS ids, count(*) AS found FROM old
