-- How long the attempts that take slots have had them.
SELECT a.worker_id, b.project_id, (extract(epoch FROM now() - a.assigned_at) * 1000)::bigint AS elapsed_ms
FROM workers w -- and by keys from there, whatever the statistics say
	CROSS JOIN LATERAL (SELECT build_id, worker_id, assigned_at FROM build_attempts WHERE held AND worker_id = w.id OFFSET 0) a
	CROSS JOIN LATERAL (SELECT project_id FROM build_audit WHERE id = a.build_id OFFSET 0) b
