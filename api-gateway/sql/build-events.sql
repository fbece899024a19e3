-- A build's trail after sequence $2. $3 at most, and none behind those that have $4 bytes (their length is known without reading them); `more`: another one follows.
SELECT sequence, type, to_char(time AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"') AS time, attempt, convert_from(body, 'UTF8') AS body, encode(hash, 'hex') AS hash, more
FROM (
	SELECT *, sum(octet_length(body)) OVER page AS bytes_before, lead(true, 1, false) OVER page AS more
	FROM (
		SELECT sequence, type, time, attempt, body, hash
		FROM build_events
		WHERE build_id = $1::uuid AND sequence > $2::bigint
		ORDER BY sequence
		LIMIT $3::int
	) found
	WINDOW page AS (ORDER BY sequence ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING)
) e
WHERE coalesce(bytes_before, 0) < $4::bigint
ORDER BY sequence
