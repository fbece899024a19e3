-- Writes to one resource ($6), of a token ($5) if there is one; otherwise as audit-list.
SELECT w.id, to_char(w.time AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"') AS time, w.token_id, (SELECT t.name FROM api_tokens t WHERE t.id = w.token_id) AS token_name,
	split_part(w.route, ' ', 1) AS method, split_part(w.route, ' ', 2) AS route, w.outcome, w.resource_type, w.resource, w.request_id, w.address
FROM (
	(SELECT *
	FROM audit_log
	WHERE resource = $6::text AND ($5::uuid IS NULL OR token_id = $5::uuid) AND (time, id) < ($1::timestamptz, $2::uuid) AND time >= $3::timestamptz
	ORDER BY time DESC, id DESC
	LIMIT $4::int)
	UNION ALL
	SELECT b.id, b.created_at, b.owner, r.origin ->> 'route', 'accepted', 'build', b.id::text, r.origin ->> 'request_id', r.origin ->> 'address'
	FROM (
			SELECT id, created_at, owner FROM build_audit
			WHERE id = CASE WHEN $6 ~ '^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$' THEN $6::uuid END
			OFFSET 0 -- by its key, whatever the statistics say
		) b LEFT JOIN LATERAL (SELECT origin FROM build_requests WHERE build_id = b.id OFFSET 0) r ON true
	WHERE b.owner IS NOT NULL
		AND ($5::uuid IS NULL OR b.owner = $5::uuid) AND (b.created_at, b.id) < ($1::timestamptz, $2::uuid) AND b.created_at >= $3::timestamptz
) w
ORDER BY w.time DESC, w.id DESC
LIMIT $4::int
