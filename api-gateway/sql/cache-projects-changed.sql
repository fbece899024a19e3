-- Projects changed in the last $1 seconds, deleted ones too.
SELECT id, name, git_url, branch, credential, agent::text AS agent, network::text AS network, version, provisional_build, deleted_at IS NOT NULL AS deleted
FROM projects
WHERE updated_at > now() - $1::int * interval '1 second'
ORDER BY updated_at
