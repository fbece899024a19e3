-- How long builds hold a slot: the mean of the last 20 that have had one of each project concerned, which are that of the build $1 and those that hold slots (50 at most),
-- each by its last attempt. What still waits is newer than what has run, so the look begins before a project's oldest waiting build, and goes back over 200 builds at most.
WITH concerned AS (
	SELECT project_id FROM build_audit WHERE id = $1::uuid
	UNION
	SELECT project_id FROM (
		SELECT DISTINCT b.project_id
		FROM workers w
			CROSS JOIN LATERAL (SELECT build_id FROM build_attempts WHERE held AND worker_id = w.id OFFSET 0) a
			CROSS JOIN LATERAL (SELECT project_id FROM build_audit WHERE id = a.build_id OFFSET 0) b
		LIMIT 50) AS holders
), waiting AS (
	SELECT q.project_id, min(q.queued_at) AS since FROM build_queue q WHERE q.project_id IN (SELECT project_id FROM concerned) GROUP BY q.project_id
)
SELECT (avg(run.ms))::bigint AS mean_ms, count(run.ms) AS count
FROM concerned LEFT JOIN waiting ON waiting.project_id = concerned.project_id CROSS JOIN LATERAL (
	SELECT extract(epoch FROM a.ended_at - a.assigned_at) * 1000 AS ms
	FROM (
		SELECT b.id, b.attempt, b.created_at FROM build_audit b
		WHERE b.project_id = concerned.project_id AND b.created_at <= coalesce(waiting.since, 'infinity')
		ORDER BY b.created_at DESC, b.id DESC LIMIT 200
	) AS recent JOIN build_attempts a ON a.build_id = recent.id AND a.attempt = recent.attempt AND a.ended_at IS NOT NULL
	ORDER BY recent.created_at DESC, recent.id DESC LIMIT 20
) AS run
