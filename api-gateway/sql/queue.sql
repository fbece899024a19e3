-- What waits for a slot, by project and class, in the order of the projects' names and then of the classes' hashes, after ($1, $2) if given; $3: only these projects (a JSON
-- array of names). A class is "agent,label,…"; "*" is a settling attempt.
SELECT project_id, project_name, concurrency, taken, class_key, settling, agent, labels, waiting, parked, delayed, oldest,
	to_char(oldest_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"') AS oldest_at
FROM (
	SELECT p.id AS project_id, p.name AS project_name, p.concurrency, (SELECT count(*) FROM project_slots s WHERE s.project_id = p.id) AS taken,
		md5(q.class) AS class_key, q.class = '*' AS settling, CASE WHEN q.class <> '*' THEN split_part(q.class, ',', 1) END AS agent,
		array_to_json(CASE WHEN q.class = '*' THEN '{}'::text[] ELSE (string_to_array(q.class, ','))[2:] END)::text AS labels,
		count(*) AS waiting, count(*) FILTER (WHERE q.parked) AS parked, count(*) FILTER (WHERE q.not_before > now()) AS delayed,
		(array_agg(q.build_id ORDER BY q.queued_at, q.build_id))[1] AS oldest, min(q.queued_at) AS oldest_at
	FROM build_queue q JOIN projects p ON p.id = q.project_id
	WHERE $3::jsonb IS NULL OR p.name IN (SELECT jsonb_array_elements_text($3::jsonb))
	GROUP BY p.id, q.class
) AS line
WHERE $1::text IS NULL OR (project_name, class_key) > ($1, $2::text)
ORDER BY project_name, class_key
LIMIT $4::int
