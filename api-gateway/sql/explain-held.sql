-- How long the attempts that take slots have had them.
SELECT a.worker_id, b.project_id, (extract(epoch FROM now() - a.assigned_at) * 1000)::bigint AS elapsed_ms
FROM build_attempts a JOIN build_audit b ON b.id = a.build_id
WHERE a.held AND a.worker_id IN (SELECT id FROM workers)
