-- Workers in the order of their ids: $1 only this one, $2 only those after this one, $5 of them at most. Of the attempts that a worker holds the oldest $4 are shown, and
-- only of builds of these projects ($3, a JSON array of names; NULL: all); all are counted.
SELECT w.id, w.state, w.incarnation, w.nonce, w.drain_requested, w.hostname, w.version, w.sandbox, array_to_json(w.labels)::text AS labels,
	array_to_json(w.agents)::text AS agents, w.slots, held.count AS slots_used, held.attempts::text AS attempts,
	to_char(w.hello_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"') AS hello_at,
	to_char(w.heartbeat_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"') AS heartbeat_at
FROM (
	SELECT * FROM workers
	WHERE ($1::uuid IS NULL OR id = $1) AND ($2::uuid IS NULL OR id > $2)
	ORDER BY id LIMIT $5::int
) AS w CROSS JOIN LATERAL (
	SELECT count(*), coalesce(json_agg(json_build_object(
		'task_id', a.build_id, 'project', json_build_object('id', a.project_id, 'name', a.project_name), 'attempt', a.attempt, 'mode', a.mode,
		'accepted', a.state = 'accepted', 'phase', a.phase,
		'assigned_at', to_char(a.assigned_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"')) ORDER BY a.assigned_at, a.build_id)
		FILTER (WHERE a.place <= $4::int), '[]') AS attempts
	FROM (
		SELECT h.*, b.project_id, b.project_name,
			CASE WHEN visible THEN row_number() OVER (PARTITION BY visible ORDER BY h.assigned_at, h.build_id) END AS place
		FROM build_attempts h JOIN build_audit b ON b.id = h.build_id
			CROSS JOIN LATERAL (SELECT $3::jsonb IS NULL OR b.project_name IN (SELECT jsonb_array_elements_text($3::jsonb)) AS visible) AS seen
		WHERE h.held AND h.worker_id = w.id
	) AS a
) AS held
ORDER BY w.id
