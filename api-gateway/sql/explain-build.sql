-- The build that is explained ($1) and its place in the queue. `waits`: it is in the queue; a settling attempt has the class "*" there and needs no place in its project.
SELECT b.id, b.project_id, b.project_name, b.status, b.phase, b.worker_id, q.build_id IS NOT NULL AS waits, coalesce(q.class, b.class) AS class,
	coalesce(q.parked, false) AS parked, CASE WHEN q.class <> '*' THEN p.concurrency END AS concurrency,
	coalesce(q.class <> '*' AND p.id IS NULL, false) AS project_gone,
	(SELECT count(*) FROM project_slots s WHERE s.project_id = b.project_id) AS taken,
	coalesce(q.not_before > now(), false) AS delayed,
	(extract(epoch FROM now()) * 1000000)::bigint AS now_us,
	CASE WHEN q.not_before > '-infinity' THEN (extract(epoch FROM q.not_before) * 1000000)::bigint END AS not_before_us,
	(extract(epoch FROM q.queued_at) * 1000000)::bigint AS queued_us, (extract(epoch FROM q.deadline) * 1000000)::bigint AS deadline_us,
	(SELECT count(*) FROM build_queue o WHERE o.project_id = b.project_id AND o.class <> '*' AND (o.queue_key, o.build_id) < (q.queue_key, q.build_id)) AS project_ahead
FROM build_audit b LEFT JOIN build_queue q ON q.build_id = b.id LEFT JOIN projects p ON p.id = b.project_id
WHERE b.id = $1::uuid
