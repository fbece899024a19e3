-- Attempts that dispatch has just given to workers.
INSERT INTO build_attempts (build_id, attempt, lease_id, worker_id, incarnation, nonce, mode, state, held)
SELECT build_id, attempt, lease_id, worker_id, incarnation, nonce, mode, 'assigned', true
FROM unnest($1::uuid[], $2::integer[], $3::uuid[], $4::uuid[], $5::bigint[], $6::uuid[], $7::text[])
AS new (build_id, attempt, lease_id, worker_id, incarnation, nonce, mode)
