-- The same for kiln.dead-letters: the record's own key and headers are in "record", the outbox key is where it came from.
INSERT INTO outbox (shard, topic, key, sequence, ce_id, type, source, time, record, body)
VALUES ($1::smallint, $2, $3, 0, $4, 'dead_letter', $5, $6, $7::jsonb, $8::bytea)
ON CONFLICT DO NOTHING
