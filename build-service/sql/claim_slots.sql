-- Takes places in projects. Who finds its place taken does not get it, and its build waits.
INSERT INTO project_slots (project_id, n, build_id)
SELECT project_id, n, build_id FROM unnest($1::uuid[], $2::integer[], $3::uuid[]) AS new (project_id, n, build_id)
ON CONFLICT DO NOTHING
RETURNING build_id
