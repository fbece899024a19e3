-- A build's trail after sequence $2.
SELECT sequence, type, to_char(time AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"') AS time, attempt, convert_from(body, 'UTF8') AS body, encode(hash, 'hex') AS hash
FROM build_events
WHERE build_id = $1::uuid AND sequence > $2::bigint
ORDER BY sequence
LIMIT $3::int
