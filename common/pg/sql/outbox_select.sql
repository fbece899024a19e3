-- The events of the next rows of the shards $1 in order of the rows' ids, without looking at running transactions: rows that begin before $2 events and $3 bytes of bodies. A row
-- that names events of builds becomes as many rows as it names, read from the trail, by key whatever the statistics say; of a build of which one is not there none has a text.
-- Events are JSON and come as text; only dead letters, which may be anything, come as bytes.
SELECT
	o.id, o.topic, coalesce(o.key, named.key) AS key, coalesce(o.sequence, named.sequence) AS sequence, coalesce(o.ce_id, named.ce_id) AS ce_id,
	coalesce(o.type, named.type) AS type, o.source, o.time, coalesce(o.hash, named.hash) AS hash, coalesce(o.traceparent, named.traceparent) AS traceparent, o.record,
	CASE WHEN o.record IS NULL THEN coalesce(named.text, convert_from(o.body, 'UTF8')) END AS text, CASE WHEN o.record IS NOT NULL THEN o.body END AS body
FROM (
	SELECT *, sum(events) OVER earlier - events AS events_before, sum(size) OVER earlier - size AS bytes_before
	FROM (
		SELECT *, coalesce(bytes, octet_length(body)) AS size FROM outbox WHERE shard = ANY ($1::smallint[]) ORDER BY id LIMIT $2::integer
	) AS oldest
	WINDOW earlier AS (ORDER BY id)
) AS o
	LEFT JOIN LATERAL (
		SELECT
			b.build_id::text AS key, e.sequence, 'build/' || b.build_id || '/' || e.sequence AS ce_id, e.type, encode(e.hash, 'hex') AS hash, audit.traceparent,
			CASE WHEN count(e.sequence) OVER (PARTITION BY b.build_id) = b.last - b.first + 1 THEN convert_from(e.body, 'UTF8') END AS text
		FROM unnest(o.build_ids, o.first_sequences, o.last_sequences) AS b (build_id, first, last)
			LEFT JOIN LATERAL (SELECT traceparent FROM build_audit WHERE id = b.build_id OFFSET 0) AS audit ON true
			LEFT JOIN LATERAL (
				SELECT sequence, type, hash, body FROM build_events WHERE build_id = b.build_id AND sequence BETWEEN b.first AND b.last OFFSET 0
			) AS e ON true
	) AS named ON o.build_ids IS NOT NULL
WHERE o.events_before < $2::integer AND o.bytes_before < $3::bigint
ORDER BY o.id, key, sequence
