-- What became of the tokens that workers list, in the order of the list. Only a look: whatever it shows as over stays over, and the rest comes again with the next
-- heartbeat.
SELECT
	a.state,
	coalesce(a.lease_id = listed.lease_id AND a.worker_id = listed.worker_id, false) AS fits,
	coalesce(b.cancel_requested AND a.held AND a.mode = 'run', false) AS wants_cancel,
	coalesce(b.phase IS NULL AND b.id IS NOT NULL, false) AS ended
FROM unnest($1::uuid[], $2::integer[], $3::uuid[], $4::uuid[]) WITH ORDINALITY AS listed (build_id, attempt, lease_id, worker_id, n)
	LEFT JOIN build_attempts a ON a.build_id = listed.build_id AND a.attempt = listed.attempt
	LEFT JOIN build_audit b ON b.id = listed.build_id
ORDER BY n
