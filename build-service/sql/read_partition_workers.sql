-- The workers whose leases the new owner of these partitions of kiln.worker.events minds, and what of theirs was not accepted yet: those that are there, and those that
-- hold attempts. There are more of those that will never come back, and nothing to mind in them.
-- $1 partitions
SELECT w.id, w.partition, a.build_id, a.attempt, a.lease_id, a.incarnation, a.nonce
FROM workers w LEFT JOIN build_attempts a ON a.held AND a.worker_id = w.id AND a.state = 'assigned'
WHERE w.partition = ANY ($1::smallint[])
	AND (w.state IN ('active', 'draining') OR EXISTS (SELECT 1 FROM build_attempts held WHERE held.held AND held.worker_id = w.id))
