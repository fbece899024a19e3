-- The projects of these ids that exist.
SELECT id, name, git_url, branch, credential, agent::text AS agent, network::text AS network, version, provisional_build, deleted_at IS NOT NULL AS deleted
FROM projects
WHERE id = ANY ($1::uuid[]) AND deleted_at IS NULL
