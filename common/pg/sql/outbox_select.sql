-- The next rows of the shards $1 in order of their ids, without looking at running transactions: those that begin before $2 events and $3 bytes of bodies. Of a row that names
-- events of builds the names; of another one its event, as text, for events are JSON; only dead letters, which may be anything, come as bytes.
SELECT
	id, shard, topic, key, sequence, ce_id, type, source, time, hash, traceparent, record,
	CASE WHEN record IS NULL THEN convert_from(body, 'UTF8') END AS text, CASE WHEN record IS NOT NULL THEN body END AS body,
	events, build_ids, first_sequences, last_sequences, size
FROM (
	SELECT *, sum(events) OVER earlier - events AS events_before, sum(size) OVER earlier - size AS bytes_before
	FROM (
		SELECT *, coalesce(bytes, octet_length(body)) AS size FROM outbox WHERE shard = ANY ($1::smallint[]) ORDER BY id LIMIT $2::integer
	) AS oldest
	WINDOW earlier AS (ORDER BY id)
) AS o
WHERE events_before < $2::integer AND bytes_before < $3::bigint
ORDER BY id
