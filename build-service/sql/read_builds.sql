-- Locked builds with their current attempts, in the order of their ids. The columns are read by position: enum column in build_rows.c.
-- $1 ids
SELECT
	b.id, b.project_id, b.project_name, b.status, b.phase, b.cancel_requested, b.attempts_used, b.losses, b.mass_losses, b.max_attempts,
	b.class, b.priority, b.queue_timeout_s, b.settling, b.settle_end,
	(extract(epoch FROM now() - b.settle_since) * 1000)::bigint AS settle_age_ms,
	b.base_sha, b.branch, b.pushing_seen, b.metadata, b.traceparent, b.created_at, b.last_sequence, encode(b.last_hash, 'hex') AS last_hash,
	b.attempt, a.lease_id, a.worker_id, a.incarnation, a.nonce, a.mode, a.state, a.phase AS attempt_phase, a.commit_sha,
	EXISTS (SELECT FROM project_slots s WHERE s.build_id = b.id) AS has_place
FROM build_audit b LEFT JOIN build_attempts a ON a.build_id = b.id AND a.attempt = b.attempt
WHERE b.id = ANY ($1::uuid[])
ORDER BY b.id
