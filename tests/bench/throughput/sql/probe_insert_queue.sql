-- $1 ids, $2 project
INSERT INTO build_queue (build_id, project_id, class, queue_key, deadline)
SELECT id, $2::uuid, 'command,sim', now(), now() FROM unnest($1::uuid[]) AS id
