-- Brings builds that are parked back into the common line of their class, where every match meets them: of each project that has room the first ones of each
-- class, as many as there is room for, less those before them that came back earlier and still wait. (Now and then one too many, who is parked again when he is
-- met.) Whether a worker is free for them is not asked.
-- Rows that somebody else has locked are passed over: who locks one ends it or brings it back, and looks once more when his transaction fails.
-- $1 project ids; NULL: of all projects. $2 builds at most
WITH RECURSIVE project AS (
	(
		SELECT given.id FROM unnest($1::uuid[]) AS given (id)
		UNION
		(SELECT q.project_id FROM build_queue q WHERE q.parked AND $1::uuid[] IS NULL ORDER BY q.project_id, q.class LIMIT 1)
	)
	UNION ALL
	-- All of them by jumping from one to the next in the index.
	SELECT next.project_id
	FROM project CROSS JOIN LATERAL (
		SELECT q.project_id FROM build_queue q
		WHERE q.parked AND q.project_id > project.id AND $1::uuid[] IS NULL
		ORDER BY q.project_id, q.class LIMIT 1) AS next
), roomy AS MATERIALIZED (
	SELECT project.id, p.concurrency - slots.taken AS places
	FROM project
		CROSS JOIN LATERAL (SELECT concurrency FROM projects WHERE id = project.id OFFSET 0) AS p
		CROSS JOIN LATERAL (SELECT count(*) AS taken FROM project_slots s WHERE s.project_id = project.id) AS slots
	WHERE p.concurrency IS NULL OR slots.taken < p.concurrency
), line AS (
	-- Their lines, one for each class, by the same jumps.
	SELECT roomy.id, roomy.places, first.*
	FROM roomy CROSS JOIN LATERAL (
		SELECT q.class, q.queue_key, q.build_id FROM build_queue q
		WHERE q.parked AND q.project_id = roomy.id
		ORDER BY q.class, q.queue_key, q.build_id LIMIT 1) AS first
	UNION ALL
	SELECT line.id, line.places, next.*
	FROM line CROSS JOIN LATERAL (
		SELECT q.class, q.queue_key, q.build_id FROM build_queue q
		WHERE q.parked AND q.project_id = line.id AND q.class > line.class
		ORDER BY q.class, q.queue_key, q.build_id LIMIT 1) AS next
), first AS (
	SELECT q.build_id
	FROM line
		CROSS JOIN LATERAL (
			-- Those that came back and stand before them. Without a limit nobody counts.
			SELECT count(*) AS n FROM (
				SELECT FROM build_queue u
				WHERE u.unparked AND NOT u.parked AND u.project_id = line.id AND u.class = line.class
					AND (u.queue_key, u.build_id) < (line.queue_key, line.build_id) AND line.places IS NOT NULL
				LIMIT line.places) AS u) AS back
		CROSS JOIN LATERAL (
			SELECT queue.build_id FROM build_queue queue
			WHERE queue.parked AND queue.project_id = line.id AND queue.class = line.class AND queue.not_before <= now()
			ORDER BY queue.queue_key, queue.build_id
			LIMIT greatest(least(line.places - back.n, $2::bigint), 0)
			FOR UPDATE SKIP LOCKED
		) AS q
	LIMIT $2::bigint
), moved AS (
	UPDATE build_queue q SET parked = false, unparked = true FROM first WHERE q.build_id = first.build_id RETURNING q.build_id
)
SELECT count(*) AS unparked FROM moved
