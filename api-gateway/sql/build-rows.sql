-- Those of the builds $1 that are there and small enough to be read together with others. By few columns and joins: the fewer, the less a statement costs before its first row.
-- What is stored compressed is measured as it is shown, too: 256 KiB of one letter are stored as 3 KiB.
SELECT b.id, b.project_name, b.status, b.project_id, b.phase, b.attempt, b.attempts_used, b.max_attempts, b.worker_id,
	to_char(b.created_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"') AS created_at, to_char(b.started_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"') AS started_at, to_char(b.finished_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"') AS finished_at,
	b.retry_of, r.spec::text AS spec, b.result::text AS result
FROM build_audit b
CROSS JOIN LATERAL (SELECT spec FROM build_requests WHERE build_id = b.id OFFSET 0) r -- by its key, whatever the statistics say
WHERE b.id = ANY ($1::uuid[]) AND CASE
	WHEN coalesce(pg_column_size(r.spec), 0) + coalesce(pg_column_size(b.result), 0) > 16384 THEN false
	WHEN coalesce(pg_column_compression(r.spec), pg_column_compression(b.result)) IS NULL THEN true
	ELSE coalesce(octet_length(r.spec::text), 0) + coalesce(octet_length(b.result::text), 0) <= 65536 END
