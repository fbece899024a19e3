-- The projects that requests name.
-- $1 ids
SELECT id, deleted_at IS NOT NULL AS deleted, concurrency FROM projects WHERE id = ANY ($1::uuid[])
