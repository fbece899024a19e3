-- Projects that exist, the newest first (ids are in the order of time), before $1. $2: at most so many.
SELECT id, name, git_url, branch, credential, agent::text AS agent, network::text AS network, version, provisional_build, deleted_at IS NOT NULL AS deleted
FROM projects
WHERE id < $1::uuid AND deleted_at IS NULL
ORDER BY id DESC
LIMIT $2::int
