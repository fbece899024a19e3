-- A project's builds that fit a filter, newest first: $1 project, $2 status, $3 agent, $4 labels (an array), $5 branch, $6 template, $7 commit (NULL: any);
-- before ($8, $9), from $10 on; $11 and $13 bytes at most, as in build-list.sql. An ended build stands in lists (migrations/0011_lists.sql): the narrowest that the filter names is read,
-- run by run of one (status, class), and merged with those that wait (migrations/0026_queue_lists.sql), run by run of the index that the filter names, and those
-- that are held. `kinds` is how many runs both lists have, $12 of each at most; there is a row for it at least.
WITH RECURSIVE wanted AS MATERIALIZED (
	SELECT lists[1] AS list, lists[2:] AS others
	FROM (SELECT array_remove(ARRAY[
		kiln_build_list('commit', $7::text),
		kiln_build_list('both', $5::text || ' ' || $6::text),
		CASE WHEN $5 IS NULL THEN kiln_build_list('template', $6) END,
		CASE WHEN $6 IS NULL THEN kiln_build_list('branch', $5) END,
		CASE WHEN coalesce($5, $6, $7) IS NULL THEN 0 END], NULL)) AS named (lists)
),
kinds AS (
	(SELECT e.status, e.class FROM ended_builds e WHERE e.project_id = $1::uuid AND e.list = (SELECT list FROM wanted) ORDER BY e.status, e.class LIMIT 1)
	UNION ALL
	SELECT following.status, following.class
	FROM kinds k CROSS JOIN LATERAL (
		SELECT e.status, e.class
		FROM ended_builds e
		WHERE e.project_id = $1::uuid AND e.list = (SELECT list FROM wanted) AND (e.status, e.class) > (k.status, k.class)
		ORDER BY e.status, e.class
		LIMIT 1) following
),
known AS MATERIALIZED (SELECT status, class FROM kinds LIMIT $12::int),
span AS MATERIALIZED ( -- of "branch template class" that may fit, of what is named: between these, which none is. There is no space in any, and only digits follow an "@"
	SELECT
		(coalesce($5::text || ' ', '') || CASE WHEN $6::text IS NULL THEN '' WHEN strpos($6, '@') > 0 THEN $6 || ' ' ELSE $6 || '@' END) COLLATE "C" AS above,
		CASE WHEN $6 IS NOT NULL THEN coalesce($5 || ' ', '') || $6 || CASE WHEN strpos($6, '@') > 0 THEN '!' ELSE 'A' END ELSE coalesce($5 || '!', '~') END COLLATE "C" AS below
),
waiting_kinds AS ( -- from the last one down, each found by its newest build: what has left the queue and is not vacuumed yet is mostly older
	SELECT below AS kind FROM span WHERE $7::text IS NULL AND ($2::text IS NULL OR $2 = 'pending')
	UNION ALL
	SELECT following.kind
	FROM waiting_kinds k CROSS JOIN span CROSS JOIN LATERAL ( -- one of these, by what is named
		(SELECT q.own_class AS kind FROM build_queue q
		WHERE $5::text IS NULL AND $6::text IS NULL AND q.project_id = $1::uuid
			AND q.own_class < k.kind AND q.own_class > span.above
		ORDER BY q.own_class DESC LIMIT 1)
		UNION ALL
		(SELECT (q.template || ' ' || q.own_class) FROM build_queue q
		WHERE $5 IS NULL AND $6 IS NOT NULL AND q.project_id = $1::uuid AND q.template IS NOT NULL
			AND (q.template || ' ' || q.own_class) < k.kind AND (q.template || ' ' || q.own_class) > span.above
		ORDER BY (q.template || ' ' || q.own_class) DESC LIMIT 1)
		UNION ALL
		(SELECT (q.branch || ' ' || q.own_class) FROM build_queue q
		WHERE $5 IS NOT NULL AND $6 IS NULL AND q.project_id = $1::uuid AND q.branch IS NOT NULL
			AND (q.branch || ' ' || q.own_class) < k.kind AND (q.branch || ' ' || q.own_class) > span.above
		ORDER BY (q.branch || ' ' || q.own_class) DESC LIMIT 1)
		UNION ALL
		(SELECT (q.branch || ' ' || q.template || ' ' || q.own_class) FROM build_queue q
		WHERE $5 IS NOT NULL AND $6 IS NOT NULL AND q.project_id = $1::uuid AND q.branch IS NOT NULL AND q.template IS NOT NULL
			AND (q.branch || ' ' || q.template || ' ' || q.own_class) < k.kind AND (q.branch || ' ' || q.template || ' ' || q.own_class) > span.above
		ORDER BY (q.branch || ' ' || q.template || ' ' || q.own_class) DESC LIMIT 1)) following
),
known_waiting AS MATERIALIZED (SELECT kind FROM waiting_kinds WHERE kind <> (SELECT below FROM span) LIMIT $12::int),
found AS (
	SELECT ended.created_at, ended.build_id
	FROM known k CROSS JOIN LATERAL (
		SELECT e.created_at, e.build_id
		FROM ended_builds e
		WHERE e.project_id = $1::uuid AND e.list = (SELECT list FROM wanted) AND e.status = k.status AND e.class = k.class
			AND (e.created_at, e.build_id) < ($8::timestamptz, $9::uuid) AND e.created_at >= $10::timestamptz
			AND NOT EXISTS (
				SELECT FROM unnest((SELECT others FROM wanted)) other (list)
				WHERE NOT EXISTS (
					SELECT FROM ended_builds o
					WHERE o.project_id = $1::uuid AND o.list = other.list AND o.status = k.status AND o.class = k.class AND o.created_at = e.created_at AND o.build_id = e.build_id
					OFFSET 0))
		ORDER BY e.created_at DESC, e.build_id DESC
		LIMIT $11::int) ended
	WHERE ($2::text IS NULL OR k.status = $2) AND kiln_class_fits(k.class, $3::text, $4::text[])
	UNION ALL
	SELECT waiting.created_at, waiting.build_id
	FROM known_waiting k CROSS JOIN LATERAL (
		(SELECT q.created_at, q.build_id FROM build_queue q
		WHERE $5::text IS NULL AND $6::text IS NULL AND q.project_id = $1::uuid AND q.own_class = k.kind
			AND (q.created_at, q.build_id) < ($8::timestamptz, $9::uuid) AND q.created_at >= $10::timestamptz
		ORDER BY q.created_at DESC, q.build_id DESC LIMIT $11::int)
		UNION ALL
		(SELECT q.created_at, q.build_id FROM build_queue q
		WHERE $5 IS NULL AND $6 IS NOT NULL AND q.project_id = $1::uuid AND q.template IS NOT NULL AND (q.template || ' ' || q.own_class) = k.kind
			AND (q.created_at, q.build_id) < ($8::timestamptz, $9::uuid) AND q.created_at >= $10::timestamptz
		ORDER BY q.created_at DESC, q.build_id DESC LIMIT $11::int)
		UNION ALL
		(SELECT q.created_at, q.build_id FROM build_queue q
		WHERE $5 IS NOT NULL AND $6 IS NULL AND q.project_id = $1::uuid AND q.branch IS NOT NULL AND (q.branch || ' ' || q.own_class) = k.kind
			AND (q.created_at, q.build_id) < ($8::timestamptz, $9::uuid) AND q.created_at >= $10::timestamptz
		ORDER BY q.created_at DESC, q.build_id DESC LIMIT $11::int)
		UNION ALL
		(SELECT q.created_at, q.build_id FROM build_queue q
		WHERE $5 IS NOT NULL AND $6 IS NOT NULL AND q.project_id = $1::uuid AND q.branch IS NOT NULL AND q.template IS NOT NULL AND (q.branch || ' ' || q.template || ' ' || q.own_class) = k.kind
			AND (q.created_at, q.build_id) < ($8::timestamptz, $9::uuid) AND q.created_at >= $10::timestamptz
		ORDER BY q.created_at DESC, q.build_id DESC LIMIT $11::int)) waiting
	WHERE kiln_class_fits(split_part(k.kind, ' ', -1), $3::text, $4::text[])
	UNION ALL
	-- All that the fleet holds, whoever's they are: bounded by its slots, and nothing bounds a project's part of them. Each by its key, whatever the statistics say.
	SELECT (active.b).created_at, (active.b).id
	FROM (SELECT build_id FROM build_attempts WHERE held) held CROSS JOIN LATERAL (SELECT b FROM build_audit b WHERE b.id = held.build_id OFFSET 0) active
	WHERE (active.b).project_id = $1::uuid AND kiln_build_fits(active.b, $2, $3, $4, $5, $6)
		AND ((active.b).created_at, (active.b).id) < ($8::timestamptz, $9::uuid) AND (active.b).created_at >= $10::timestamptz
		AND $7::text IS NULL AND ($2::text IS NULL OR $2 IN ('pending', 'running'))
),
page AS (SELECT build_id FROM found ORDER BY created_at DESC, build_id DESC LIMIT $11::int),
measured AS (
	SELECT b.*, sum(octet_length(b.metadata)) OVER page AS bytes_before, lead(true, 1, false) OVER page AS more
	FROM page JOIN build_audit b ON b.id = page.build_id
	WINDOW page AS (ORDER BY b.created_at DESC, b.id DESC ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING)
)
SELECT (SELECT count(*) FROM known) + (SELECT count(*) FROM known_waiting) AS kinds,
	b.id, b.project_id, b.project_name, b.status, b.phase, b.attempt, b.attempts_used, b.max_attempts, b.worker_id, b.metadata,
	to_char(b.created_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"') AS created_at, to_char(b.started_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"') AS started_at, to_char(b.finished_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"') AS finished_at,
	b.more
FROM (VALUES (1)) one LEFT JOIN measured b ON coalesce(b.bytes_before, 0) < $13::bigint
ORDER BY b.created_at DESC, b.id DESC
