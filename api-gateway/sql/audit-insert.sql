-- A write, in its transaction.
INSERT INTO audit_log (id, time, token_id, route, outcome, resource_type, resource, request_id, address)
VALUES ($1::uuid, clock_timestamp(), $2::uuid, $3, $4, $5, $6, $7, $8)
