-- A build's status, and in the same snapshot its events after sequence $2: $3 at most, and none behind those that have $4 bytes (their length is known without reading them); `more`: another one follows.
-- One row without an event when there is none, no row when the build is not there.
SELECT b.status, e.sequence, e.type, convert_from(e.body, 'UTF8') AS body, e.more
FROM build_audit b
LEFT JOIN LATERAL (
	SELECT *
	FROM (
		SELECT *, sum(octet_length(body)) OVER page AS bytes_before, lead(true, 1, false) OVER page AS more
		FROM (
			SELECT sequence, type, body
			FROM build_events
			WHERE build_id = b.id AND sequence > $2::bigint
			ORDER BY sequence
			LIMIT $3::int
		) found
		WINDOW page AS (ORDER BY sequence ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING)
	) measured
	WHERE coalesce(bytes_before, 0) < $4::bigint
) e ON true
WHERE b.id = $1::uuid
ORDER BY e.sequence
