-- New builds, in whatever state their first transaction left them; those that have ended at once stand in their lists.
WITH made AS (
	INSERT INTO build_audit (
		id, project_id, project_name, owner, status, phase, cancel_requested, max_attempts, class, priority, queue_timeout_s,
		callback_url, request_hash, metadata, retry_of, traceparent, result, error_class, last_sequence, last_hash,
		created_at, queued_at, finished_at, attempt, lease_id, worker_id, template, asked_branch)
	SELECT
		id, project_id, project_name, owner, status, phase, cancel_requested, max_attempts, class, priority, queue_timeout_s,
		callback_url, request_hash, metadata, retry_of, traceparent, result, error_class, last_sequence, last_hash,
		created_at, queued_at, finished_at, attempt, lease_id, worker_id, template, asked_branch
	FROM unnest(
		$1::uuid[], $2::uuid[], $3::text[], $4::uuid[], $5::text[], $6::text[], $7::boolean[], $8::integer[], $9::text[], $10::smallint[],
		$11::integer[], $12::text[], $13::bytea[], $14::text[], $15::uuid[], $16::text[], $17::json[], $18::text[], $19::integer[], $20::bytea[],
		$21::timestamptz[], $22::timestamptz[], $23::timestamptz[], $24::integer[], $25::uuid[], $26::uuid[], $27::text[], $28::text[])
	AS new (
		id, project_id, project_name, owner, status, phase, cancel_requested, max_attempts, class, priority,
		queue_timeout_s, callback_url, request_hash, metadata, retry_of, traceparent, result, error_class, last_sequence, last_hash,
		created_at, queued_at, finished_at, attempt, lease_id, worker_id, template, asked_branch)
	RETURNING id, project_id, status, class, created_at, finished_at, template, asked_branch
)
INSERT INTO ended_builds (project_id, list, status, class, created_at, build_id)
SELECT project_id, list, status, class, created_at, id
FROM made CROSS JOIN LATERAL kiln_build_lists(asked_branch, template, NULL) AS list
WHERE finished_at IS NOT NULL
