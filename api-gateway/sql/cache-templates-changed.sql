-- The newest versions made in the last $1 seconds. $2: at most of so many templates, the latest.
SELECT name, max(version) AS version
FROM templates
WHERE created_at > now() - $1::int * interval '1 second'
GROUP BY name
ORDER BY max(created_at) DESC
LIMIT $2::int
