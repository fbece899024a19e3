-- Compare-and-set of a partition's offset row without moving it: only its owner, who has applied everything below, may go on (docs/protocol.md section 5).
-- $1 consumer, $2 topic, $3 partition, $4 the offset that I have applied
UPDATE consumer_offsets SET updated_at = now() WHERE consumer = $1 AND topic = $2 AND partition = $3::integer AND next_offset = $4::bigint
