-- A build of the project that has not ended.
SELECT b.id
FROM active_builds a JOIN build_audit b ON b.id = a.build_id
WHERE b.project_id = $1::uuid
LIMIT 1
