-- A build of the project that has not ended: one that waits in the queue, or that a worker holds.
SELECT build_id AS id FROM build_queue WHERE project_id = $1::uuid
UNION ALL
SELECT held.id
FROM (SELECT build_id FROM build_attempts WHERE held) a -- as many as the fleet has slots
CROSS JOIN LATERAL (SELECT id, project_id FROM build_audit WHERE id = a.build_id OFFSET 0) held -- by its key, whatever the statistics say
WHERE held.project_id = $1::uuid
LIMIT 1
