-- $1 ids, $2 sequences, $3 bodies
INSERT INTO build_events (build_id, sequence, type, time, attempt, body, hash)
SELECT id, sequence, 'build.phase', now(), 1, body, sha256(body)
FROM unnest($1::uuid[], $2::integer[], $3::bytea[]) AS new (id, sequence, body)
