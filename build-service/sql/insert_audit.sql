-- Cancels, by the ids of their records: one that Kafka holds twice is one.
INSERT INTO audit_log (id, time, token_id, route, outcome, resource_type, resource, request_id, address)
SELECT id, time, token_id, route, 'accepted', 'build', resource, request_id, address
FROM unnest($1::uuid[], $2::timestamptz[], $3::uuid[], $4::text[], $5::text[], $6::text[], $7::text[])
	AS new (id, time, token_id, route, resource, request_id, address)
ON CONFLICT DO NOTHING
