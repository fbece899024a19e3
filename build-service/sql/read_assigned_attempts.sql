-- Those of these tokens that a worker was told of and has not accepted.
-- $1 builds, $2 attempts, $3 leases
SELECT a.build_id, a.attempt, a.lease_id, a.worker_id, a.incarnation, a.nonce, a.mode
FROM unnest($1::uuid[], $2::integer[], $3::uuid[]) AS token (build_id, attempt, lease_id)
	JOIN build_attempts a USING (build_id, attempt)
WHERE a.lease_id = token.lease_id AND a.state = 'assigned'
