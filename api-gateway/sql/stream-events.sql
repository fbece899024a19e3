-- A build's status, and in the same snapshot its events after sequence $2, $3 at most; one row without an event when there is none, no row when the build is not there.
SELECT b.status, e.sequence, e.type, convert_from(e.body, 'UTF8') AS body
FROM build_audit b
LEFT JOIN LATERAL (
	SELECT sequence, type, body
	FROM build_events
	WHERE build_id = b.id AND sequence > $2::bigint
	ORDER BY sequence
	LIMIT $3::int
) e ON true
WHERE b.id = $1::uuid
ORDER BY e.sequence
