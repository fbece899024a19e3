-- offsets_advance.sql for a transaction of one round trip, COMMIT included: it fails by itself, and so whatever was sent together with it, when a row was not as expected.
WITH advanced AS (
	UPDATE consumer_offsets AS o
	SET next_offset = step.next, last_ce_id = step.ce_id, cluster_id = coalesce(o.cluster_id, $7), updated_at = now()
	FROM unnest($2::text[], $3::integer[], $4::bigint[], $5::bigint[], $6::text[]) AS step (topic, partition, expected, next, ce_id)
	WHERE o.consumer = $1 AND o.topic = step.topic AND o.partition = step.partition AND o.next_offset = step.expected
	RETURNING 1
)
SELECT kiln_expect((SELECT count(*) FROM advanced), cardinality($2::text[]), 'KN001', 'the offsets have moved')
