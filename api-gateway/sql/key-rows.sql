-- What became of builds with an Idempotency-Key, $1 with their request partitions $2, and how far those partitions were applied: in one snapshot.
-- Each by its key, whatever the statistics say.
SELECT wanted.id, b.id IS NOT NULL OR p.build_id IS NOT NULL AS there, encode(coalesce(b.request_hash, p.request_hash), 'hex') AS hash,
	coalesce(o.next_offset, 0) AS applied
FROM unnest($1::uuid[], $2::int[]) AS wanted (id, partition)
LEFT JOIN LATERAL (SELECT id, request_hash FROM build_audit WHERE id = wanted.id OFFSET 0) b ON true
LEFT JOIN LATERAL (SELECT build_id, request_hash FROM pruned_builds WHERE build_id = wanted.id OFFSET 0) p ON true
LEFT JOIN consumer_offsets o ON o.consumer = 'kiln-build-service' AND o.topic = 'kiln.build.requests' AND o.partition = wanted.partition
