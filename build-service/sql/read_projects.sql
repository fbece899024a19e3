-- The projects that requests name. None is deleted before their builds are committed: who deletes one looks for builds under its lock (api-gateway/sql/project-lock.sql).
-- $1 ids
SELECT id, deleted_at IS NOT NULL AS deleted, concurrency FROM projects WHERE id = ANY ($1::uuid[]) ORDER BY id FOR KEY SHARE
