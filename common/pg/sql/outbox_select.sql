-- The next rows of the shards $1 in order of id, without looking at running transactions: at most $2 rows, and none that begins after $3 bytes of bodies. Events are JSON
-- and come as text; only dead letters, which may be anything, come as bytes.
SELECT id, topic, key, sequence, ce_id, type, source, time, hash, traceparent, record,
	CASE WHEN record IS NULL THEN convert_from(body, 'UTF8') END AS text, CASE WHEN record IS NOT NULL THEN body END AS body
FROM (
	SELECT *, sum(octet_length(body)) OVER (ORDER BY id) - octet_length(body) AS bytes_before
	FROM (
		SELECT * FROM outbox WHERE shard = ANY ($1::smallint[]) ORDER BY id LIMIT $2::integer
	) AS oldest
) AS measured
WHERE bytes_before < $3::bigint
ORDER BY id
