-- Projects whose first build has not come in $1 seconds.
SELECT id, provisional_build FROM projects
WHERE provisional_build IS NOT NULL AND created_at < now() - $1::bigint * interval '1 second'
ORDER BY created_at LIMIT 100
