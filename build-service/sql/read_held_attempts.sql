-- What the database says that these workers hold. Their rows are locked: dispatch gives them nothing meanwhile.
-- $1 worker ids
SELECT worker_id, build_id, attempt, lease_id, incarnation, nonce, state
FROM build_attempts
WHERE held AND worker_id = ANY ($1::uuid[])
ORDER BY worker_id, assigned_at, build_id
