-- The trail rows of one transaction, in order, and the outbox rows that publish the same bytes (PROTOCOL.md section 3). A CTE that is read twice keeps its order, so ids rise
-- in it: per build by rising sequence.
WITH new AS (
	SELECT * FROM unnest($1::uuid[], $2::integer[], $3::text[], $4::integer[], $5::text[], $6::bytea[], $7::smallint[], $8::text[])
	AS new (build_id, sequence, type, attempt, body, hash, shard, traceparent)
), trail AS (
	INSERT INTO build_events (build_id, sequence, type, time, attempt, body, hash)
	SELECT build_id, sequence, type, $9::text::timestamptz, attempt, convert_to(body, 'UTF8'), hash FROM new
)
INSERT INTO outbox (shard, topic, key, sequence, ce_id, type, source, time, hash, traceparent, body)
SELECT
	shard, 'kiln.build.events', build_id::text, sequence, 'build/' || build_id || '/' || sequence, type, '/kiln/build-service', $9::text,
	encode(hash, 'hex'), traceparent, convert_to(body, 'UTF8')
FROM new
