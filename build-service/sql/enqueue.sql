-- Builds that want a slot from now on. "Ages one level every five minutes" comes to: ordered by creation minus five minutes for each level of priority.
INSERT INTO build_queue (build_id, project_id, class, queue_key, not_before, deadline)
SELECT
	build_id, project_id, CASE WHEN settling THEN '*' ELSE class END,
	CASE WHEN settling THEN '-infinity' ELSE created_at - priority * interval '5 minutes' END,
	CASE WHEN wait_ms > 0 THEN now() + wait_ms * interval '1 millisecond' ELSE '-infinity' END,
	CASE WHEN NOT settling THEN now() + queue_timeout_s * interval '1 second' END
FROM unnest($1::uuid[], $2::uuid[], $3::text[], $4::boolean[], $5::timestamptz[], $6::smallint[], $7::bigint[], $8::integer[])
AS new (build_id, project_id, class, settling, created_at, priority, wait_ms, queue_timeout_s)
