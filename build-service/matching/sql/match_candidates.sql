-- The builds whose turn it is, for each class that some free slot can serve (docs/protocol.md section 6). A class is "agent,label,…"; "*" is a settling attempt, which any worker
-- takes and which needs no place in its project.
--
-- Builds wait in one line for each class. One that is met there while its project is full gets parked (match_park.sql), and comes back when the project has
-- room (unpark.sql). So no LIMIT comes before the conditions, and builds that cannot run are in nobody's way.
-- $1 milliseconds that "lately" means (as in match_workers.sql), $2 builds at most, $3 how many more to look at in each line, for some may be of full projects
WITH RECURSIVE available AS MATERIALIZED (
	SELECT w.agents, w.labels, w.slots - (SELECT count(*) FROM build_attempts a WHERE a.held AND a.worker_id = w.id) AS free
	FROM workers w
	WHERE w.state = 'active' AND w.heartbeat_at > now() - $1::integer * interval '1 millisecond' AND w.read_offset >= w.read_until
), line AS (
	-- The distinct classes, by jumping from one to the next in the index.
	(SELECT class FROM build_queue WHERE NOT parked ORDER BY class LIMIT 1)
	UNION ALL
	SELECT (SELECT q.class FROM build_queue q WHERE NOT q.parked AND q.class > line.class ORDER BY q.class LIMIT 1)
	FROM line WHERE line.class IS NOT NULL
), servable AS MATERIALIZED (
	SELECT line.class, least(sum(available.free), $2::bigint) AS free
	FROM line JOIN available ON available.free > 0 AND (line.class = '*' OR (
		available.agents @> ARRAY[split_part(line.class, ',', 1)] AND available.labels @> (string_to_array(line.class, ','))[2:]))
	WHERE line.class IS NOT NULL
	GROUP BY line.class
)
SELECT q.build_id, q.project_id, q.class, p.concurrency
FROM servable CROSS JOIN LATERAL (
	SELECT queue.build_id, queue.project_id, queue.class, queue.queue_key
	FROM build_queue queue
	WHERE NOT queue.parked AND queue.class = servable.class AND queue.not_before <= now()
	ORDER BY queue.queue_key, queue.build_id
	LIMIT servable.free + $3::bigint
) AS q LEFT JOIN projects p ON p.id = q.project_id AND q.class <> '*'
ORDER BY q.class <> '*', q.queue_key, q.build_id
