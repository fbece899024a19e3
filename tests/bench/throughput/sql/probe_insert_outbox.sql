-- $1 ids, $2 sequences, $3 bodies
INSERT INTO outbox (shard, topic, key, sequence, ce_id, type, source, time, hash, body)
SELECT
	1, 'kiln.build.events', id, sequence, 'build/' || id || '/' || sequence, 'build.phase', '/kiln/build-service', now()::text,
	encode(sha256(body), 'hex'), body
FROM unnest($1::uuid[], $2::integer[], $3::bytea[]) AS new (id, sequence, body)
