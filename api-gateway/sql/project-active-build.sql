-- A build of the project that has not ended.
SELECT id
FROM build_audit
WHERE project_id = $1::uuid AND finished_at IS NULL
LIMIT 1
