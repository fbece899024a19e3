-- The trail rows of one transaction, and the outbox rows that name them (docs/protocol.md section 3): of each build its events first to last, as many builds in a row as
-- outbox_names.c puts into one part of a shard. A build is in one part only, so the order of the parts is of no matter.
WITH trail AS (
	INSERT INTO build_events (build_id, sequence, type, time, attempt, body, hash)
	SELECT build_id, sequence, type, $7::text::timestamptz, attempt, convert_to(body, 'UTF8'), hash
	FROM unnest($1::uuid[], $2::integer[], $3::text[], $4::integer[], $5::text[], $6::bytea[]) AS new (build_id, sequence, type, attempt, body, hash)
)
INSERT INTO outbox (shard, topic, source, time, build_ids, first_sequences, last_sequences, events, bytes)
SELECT
	shard, 'kiln.build.events', '/kiln/build-service', $7::text, array_agg(build_id), array_agg(first), array_agg(last), sum(last - first + 1), sum(bytes)
FROM unnest($8::smallint[], $9::integer[], $10::uuid[], $11::integer[], $12::integer[], $13::bigint[]) AS named (shard, part, build_id, first, last, bytes)
GROUP BY shard, part
