-- Which projects were changed in the last $1 seconds, deleted ones too. $2: at most so many, the latest.
SELECT id, name, version, provisional_build IS NOT NULL AS provisional, deleted_at IS NOT NULL AS deleted
FROM projects
WHERE updated_at > now() - $1::int * interval '1 second'
ORDER BY updated_at DESC
LIMIT $2::int
