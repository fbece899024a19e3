-- What attempt.assign says of a build. `earlier`: every attempt but the one that is held now.
-- $1 ids
SELECT
	b.id, b.project_id, b.project_name, r.spec, r.git, b.base_sha, b.branch, b.traceparent,
	CASE WHEN b.settle_end IS NOT NULL
		THEN json_build_object('status', b.settle_end -> 'status', 'error', b.settle_end -> 'error') END AS settle_end,
	CASE WHEN b.attempt = 0 THEN '[]' ELSE (
		SELECT coalesce(json_agg(json_build_object('attempt', a.attempt, 'commit_sha', a.commit_sha) ORDER BY a.attempt), '[]')
		FROM build_attempts a WHERE a.build_id = b.id AND NOT a.held)::text END AS earlier,
	(extract(epoch FROM clock_timestamp() - b.queued_at) * 1000000)::bigint AS queued_us
FROM build_audit b LEFT JOIN build_requests r ON r.build_id = b.id
WHERE b.id = ANY ($1::uuid[])
ORDER BY b.id
