-- Events of one transaction, one array per column. unnest keeps the arrays' order, so ids rise in it: per key by rising sequence (docs/protocol.md section 3).
INSERT INTO outbox (shard, topic, key, sequence, ce_id, type, source, time, hash, traceparent, body)
SELECT shard, topic, key, sequence, ce_id, type, source, time, hash, traceparent, body
FROM unnest($1::smallint[], $2::text[], $3::text[], $4::bigint[], $5::text[], $6::text[], $7::text[], $8::text[], $9::text[], $10::text[], $11::bytea[])
	AS event (shard, topic, key, sequence, ce_id, type, source, time, hash, traceparent, body)
