-- $1 ids, $2 project
INSERT INTO build_queue (build_id, project_id, class, queue_key, deadline, created_at, own_class)
SELECT id, $2::uuid, 'command,sim', now(), now(), now(), 'command,sim' FROM unnest($1::uuid[]) AS id
