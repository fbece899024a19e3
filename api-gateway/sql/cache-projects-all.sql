-- Every project. $1: at most so many, the most recently changed.
SELECT id, name, git_url, branch, credential, agent::text AS agent, network::text AS network, version, provisional_build, deleted_at IS NOT NULL AS deleted
FROM projects
WHERE deleted_at IS NULL
ORDER BY updated_at DESC
LIMIT $1::bigint
