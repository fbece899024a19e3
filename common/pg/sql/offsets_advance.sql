-- First statement of an inbox transaction, sent ahead: compare-and-set of the offsets of consumer $1 (docs/protocol.md section 2). As many rows must be updated as there are
-- elements; a row that was waited for is compared in its newest version. The elements come in one order from every instance, and so do the locks.
UPDATE consumer_offsets AS o
SET next_offset = step.next, last_ce_id = step.ce_id, cluster_id = coalesce(o.cluster_id, $7), updated_at = now()
FROM unnest($2::text[], $3::integer[], $4::bigint[], $5::bigint[], $6::text[]) AS step (topic, partition, expected, next, ce_id)
WHERE o.consumer = $1 AND o.topic = step.topic AND o.partition = step.partition AND o.next_offset = step.expected
