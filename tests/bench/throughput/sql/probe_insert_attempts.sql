-- $1 ids, $2 worker
INSERT INTO build_attempts (build_id, attempt, lease_id, worker_id, incarnation, nonce, mode, state, held)
SELECT id, 1, id, $2::uuid, 1, $2::uuid, 'run', 'assigned', true FROM unnest($1::uuid[]) AS id
