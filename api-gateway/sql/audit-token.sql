-- The writes of a token ($5), otherwise as audit-list. In an order that begins with the token: the indexes by token have it, those by time have not.
WITH posted AS (
	SELECT id, created_at, owner
	FROM build_audit
	WHERE owner IS NOT NULL AND (owner, created_at, id) < ($5::uuid, $1::timestamptz, $2::uuid) AND (owner, created_at) >= ($5::uuid, $3::timestamptz)
	ORDER BY owner DESC, created_at DESC, id DESC
	LIMIT $4::int
),
written AS (
	SELECT *
	FROM audit_log
	WHERE (token_id, time, id) < ($5::uuid, $1::timestamptz, $2::uuid) AND (token_id, time) >= ($5::uuid, $3::timestamptz)
	ORDER BY token_id DESC, time DESC, id DESC
	LIMIT $4::int
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
LIMIT $4::int
