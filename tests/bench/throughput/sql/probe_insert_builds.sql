-- $1 ids, $2 project
INSERT INTO build_audit (
	id, project_id, project_name, status, phase, max_attempts, class, priority, queue_timeout_s, created_at, queued_at, last_sequence)
SELECT id, $2::uuid, 'demo', 'pending', 'queued', 3, 'command,sim', 5, 86400, now(), now(), 1
FROM unnest($1::uuid[]) AS new (id)
