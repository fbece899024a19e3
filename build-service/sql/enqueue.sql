-- Builds that want a slot from now on. "Ages one level every five minutes" comes to: ordered by creation minus five minutes for each level of priority.
-- Those of a project that a restore has not brought back are parked with it: nobody gives them out, and they are in nobody's way (unpark.sql).
-- Lists find them also by branch and template (migrations/0026_queue_lists.sql): of a new build they are given, of one that waits `again` looked up.
INSERT INTO build_queue (build_id, project_id, class, parked, queue_key, not_before, deadline, created_at, own_class, branch, template)
SELECT
	new.build_id, new.project_id, CASE WHEN new.settling THEN '*' ELSE new.class END,
	NOT new.settling AND (SELECT p.id FROM projects p WHERE p.id = new.project_id) IS NULL,
	CASE WHEN new.settling THEN '-infinity' ELSE new.created_at - new.priority * interval '5 minutes' END,
	CASE WHEN new.wait_ms > 0 THEN now() + new.wait_ms * interval '1 millisecond' ELSE '-infinity' END,
	-- Its time in the queue begins when it may be taken.
	CASE WHEN NOT new.settling THEN now() + greatest(new.wait_ms, 0) * interval '1 millisecond' + new.queue_timeout_s * interval '1 second' END,
	new.created_at, new.class, coalesce(known.branch, new.branch), coalesce(known.template, new.template)
FROM unnest($1::uuid[], $2::uuid[], $3::text[], $4::boolean[], $5::timestamptz[], $6::smallint[], $7::bigint[], $8::integer[], $9::boolean[], $10::text[], $11::text[])
AS new (build_id, project_id, class, settling, created_at, priority, wait_ms, queue_timeout_s, again, branch, template)
LEFT JOIN LATERAL (
	SELECT coalesce(b.branch, b.asked_branch) AS branch, b.template FROM build_audit b WHERE new.again AND b.id = new.build_id OFFSET 0) known ON true
