-- A project that exists, by name.
SELECT id, name, git_url, branch, credential, agent::text AS agent, network::text AS network, version, provisional_build, deleted_at IS NOT NULL AS deleted
FROM projects
WHERE name = $1 AND deleted_at IS NULL
