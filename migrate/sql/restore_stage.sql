-- restore: events as they were published, of which the trails lack some: builds, sequences, types, times, bodies, hashes. Once each, however often they were published.
INSERT INTO restored_events (build_id, sequence, type, time, body, hash)
SELECT build_id, sequence, type, time, body, decode(hash, 'hex')
FROM unnest($1::uuid[], $2::integer[], $3::text[], $4::timestamptz[], $5::bytea[], $6::text[]) AS published (build_id, sequence, type, time, body, hash)
WHERE NOT EXISTS (SELECT FROM build_events e WHERE e.build_id = published.build_id AND e.sequence = published.sequence)
ON CONFLICT DO NOTHING
