-- Changed builds, each once. Times that are NULL stay as they are. Those that end take their places in the lists.
WITH changed AS (
	UPDATE build_audit b SET
		status = new.status, phase = new.phase, cancel_requested = new.cancel_requested,
		attempt = new.attempt, lease_id = new.lease_id, worker_id = new.worker_id,
		attempts_used = new.attempts_used, losses = new.losses, mass_losses = new.mass_losses,
		settling = new.settling, settle_end = new.settle_end,
		settle_since = CASE WHEN new.settling THEN coalesce(b.settle_since, now()) END,
		base_sha = new.base_sha, branch = new.branch, pushing_seen = new.pushing_seen,
		result = coalesce(new.result, b.result), error_class = coalesce(new.error_class, b.error_class),
		last_sequence = new.last_sequence, last_hash = new.last_hash,
		queued_at = coalesce(new.queued_at, b.queued_at),
		started_at = coalesce(b.started_at, new.started_at),
		finished_at = coalesce(b.finished_at, new.finished_at),
		updated_at = now()
	FROM unnest(
		$1::uuid[], $2::text[], $3::text[], $4::boolean[], $5::integer[], $6::uuid[], $7::uuid[], $8::integer[], $9::integer[], $10::integer[],
		$11::boolean[], $12::json[], $13::text[], $14::text[], $15::boolean[], $16::json[], $17::text[], $18::integer[], $19::bytea[],
		$20::timestamptz[], $21::timestamptz[], $22::timestamptz[])
	AS new (
		id, status, phase, cancel_requested, attempt, lease_id, worker_id, attempts_used, losses, mass_losses,
		settling, settle_end, base_sha, branch, pushing_seen, result, error_class, last_sequence, last_hash,
		queued_at, started_at, finished_at)
	WHERE b.id = new.id
	RETURNING b.id, b.project_id, b.status, b.class, b.created_at, coalesce(b.branch, b.asked_branch) AS branch, b.template,
		CASE WHEN new.finished_at IS NOT NULL THEN new.result ->> 'commit_sha' END AS commit_sha, new.finished_at IS NOT NULL AS ended
)
INSERT INTO ended_builds (project_id, list, status, class, created_at, build_id)
SELECT project_id, list, status, class, created_at, id
FROM changed CROSS JOIN LATERAL kiln_build_lists(branch, template, commit_sha) AS list
WHERE ended
