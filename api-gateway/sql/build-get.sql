-- One build, and how far its request partition $2 was applied: in one snapshot, so that a missing row with an offset at or beyond a known end proves absence.
SELECT b.id, b.project_id, b.project_name, b.status, b.phase, b.attempt, b.attempts_used, b.max_attempts, b.worker_id, b.cancel_requested, b.retry_of,
	r.spec::text AS spec, b.result::text AS result,
	to_char(b.created_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"') AS created_at, to_char(b.started_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"') AS started_at, to_char(b.finished_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"') AS finished_at,
	b.updated_at > now() - interval '1 minute' AS changed_lately, o.next_offset
FROM (VALUES (1)) one
LEFT JOIN build_audit b ON b.id = $1::uuid
LEFT JOIN build_requests r ON r.build_id = b.id
LEFT JOIN consumer_offsets o ON o.consumer = 'kiln-build-service' AND o.topic = 'kiln.build.requests' AND o.partition = $2::int
