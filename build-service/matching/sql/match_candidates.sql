-- The builds whose turn it is, for each class that some free slot can serve (docs/protocol.md section 6). A class is "agent,label,…"; "*" is a settling attempt, which any worker
-- takes and which needs no place in its project.
--
-- Builds wait in one line for each class. One that is met there while its project is full gets parked (match_park.sql): it waits in its project's
-- own line then, which is asked only when the project has room. So no LIMIT comes before the conditions, and builds that cannot run are in nobody's way.
-- After a restore there may be builds of projects that are gone: they are parked from the beginning (enqueue.sql), and a line without a project is not asked.
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
), parked_line AS (
	-- The same for those that are parked.
	(SELECT class FROM build_queue WHERE parked ORDER BY class LIMIT 1)
	UNION ALL
	SELECT (SELECT q.class FROM build_queue q WHERE q.parked AND q.class > parked_line.class ORDER BY q.class LIMIT 1)
	FROM parked_line WHERE parked_line.class IS NOT NULL
), servable AS MATERIALIZED (
	SELECT class.class, least(sum(available.free), $2::bigint) AS free
	FROM (SELECT class FROM line WHERE class IS NOT NULL UNION SELECT class FROM parked_line WHERE class IS NOT NULL) AS class
		JOIN available ON available.free > 0 AND (class.class = '*' OR (
			available.agents @> ARRAY[split_part(class.class, ',', 1)] AND available.labels @> (string_to_array(class.class, ','))[2:]))
	GROUP BY class.class
), project_line AS (
	-- The projects' lines of these classes, by the same jumps. Each row is looked at once: sessions without hash joins compare what they join pair by pair.
	SELECT servable.class, servable.free, first.project_id
	FROM servable CROSS JOIN LATERAL (
		SELECT q.project_id FROM build_queue q WHERE q.parked AND q.class = servable.class ORDER BY q.project_id LIMIT 1) AS first
	UNION ALL
	SELECT project_line.class, project_line.free, next.project_id
	FROM project_line CROSS JOIN LATERAL (
		SELECT q.project_id FROM build_queue q
		WHERE q.parked AND q.class = project_line.class AND q.project_id > project_line.project_id
		ORDER BY q.project_id LIMIT 1) AS next
), roomy_line AS (
	SELECT line.class, line.project_id, p.concurrency, least(p.concurrency - slots.taken, line.free) AS room
	FROM project_line AS line
		CROSS JOIN LATERAL (SELECT concurrency FROM projects WHERE id = line.project_id OFFSET 0) AS p
		CROSS JOIN LATERAL (SELECT count(*) AS taken FROM project_slots s WHERE s.project_id = line.project_id) AS slots
	WHERE p.concurrency IS NULL OR slots.taken < p.concurrency
), found AS (
	SELECT q.build_id, q.project_id, q.class, q.queue_key, p.concurrency, false AS parked
	FROM servable CROSS JOIN LATERAL (
		SELECT queue.build_id, queue.project_id, queue.class, queue.queue_key
		FROM build_queue queue
		WHERE NOT queue.parked AND queue.class = servable.class AND queue.not_before <= now()
		ORDER BY queue.queue_key, queue.build_id
		LIMIT servable.free + $3::bigint
	) AS q LEFT JOIN projects p ON p.id = q.project_id AND q.class <> '*'
	UNION ALL
	SELECT q.build_id, roomy_line.project_id, roomy_line.class, q.queue_key, roomy_line.concurrency, true
	FROM roomy_line CROSS JOIN LATERAL (
		SELECT queue.build_id, queue.queue_key
		FROM build_queue queue
		WHERE queue.parked AND queue.class = roomy_line.class AND queue.project_id = roomy_line.project_id AND queue.not_before <= now()
		ORDER BY queue.queue_key, queue.build_id
		LIMIT roomy_line.room
	) AS q
)
SELECT build_id, project_id, class, concurrency, parked FROM found ORDER BY class <> '*', queue_key, build_id
