-- Writes, newest first: $1 only of this token; before ($2, $3), from $4 on; $5 at most. Each token's are in order, those of builds in their own rows;
-- they are merged.
WITH RECURSIVE owners AS (
	SELECT coalesce($1::uuid, (SELECT b.owner FROM build_audit b WHERE b.owner IS NOT NULL ORDER BY b.owner LIMIT 1)) AS owner
	UNION ALL
	SELECT (SELECT b.owner FROM build_audit b WHERE b.owner > o.owner ORDER BY b.owner LIMIT 1)
	FROM owners o
	WHERE o.owner IS NOT NULL AND $1::uuid IS NULL
),
writers AS (
	SELECT coalesce($1::uuid, (SELECT a.token_id FROM audit_log a ORDER BY a.token_id LIMIT 1)) AS token_id
	UNION ALL
	SELECT (SELECT a.token_id FROM audit_log a WHERE a.token_id > w.token_id ORDER BY a.token_id LIMIT 1)
	FROM writers w
	WHERE w.token_id IS NOT NULL AND $1::uuid IS NULL
),
posted AS (
	SELECT p.id, p.created_at, p.owner
	FROM owners o CROSS JOIN LATERAL (
		SELECT b.id, b.created_at, b.owner
		FROM build_audit b
		WHERE b.owner = o.owner AND (b.created_at, b.id) < ($2::timestamptz, $3::uuid) AND b.created_at >= $4::timestamptz
		ORDER BY b.created_at DESC, b.id DESC
		LIMIT $5::int) p
	ORDER BY p.created_at DESC, p.id DESC
	LIMIT $5::int
),
written AS (
	SELECT a.*
	FROM writers w CROSS JOIN LATERAL (
		SELECT *
		FROM audit_log a
		WHERE a.token_id = w.token_id AND (a.time, a.id) < ($2::timestamptz, $3::uuid) AND a.time >= $4::timestamptz
		ORDER BY a.time DESC, a.id DESC
		LIMIT $5::int) a
	ORDER BY a.time DESC, a.id DESC
	LIMIT $5::int
)
SELECT w.id, to_char(w.time AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"') AS time, w.token_id, (SELECT t.name FROM api_tokens t WHERE t.id = w.token_id) AS token_name,
	split_part(w.route, ' ', 1) AS method, split_part(w.route, ' ', 2) AS route, w.outcome, w.resource_type, w.resource, w.request_id, w.address
FROM (
	SELECT * FROM written
	UNION ALL
	SELECT p.id, p.created_at, p.owner, r.origin ->> 'route', 'accepted', 'build', p.id::text, r.origin ->> 'request_id', r.origin ->> 'address'
	FROM posted p LEFT JOIN LATERAL (SELECT origin FROM build_requests WHERE build_id = p.id OFFSET 0) r ON true -- by its key, whatever the statistics say
) w
ORDER BY w.time DESC, w.id DESC
LIMIT $5::int
