-- The newest version of each template, by name after $1.
SELECT DISTINCT ON (name) name, version, defaults::text AS defaults, description, to_char(created_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"') AS created_at
FROM templates
WHERE $1::text IS NULL OR name > $1
ORDER BY name, version DESC
LIMIT $2::int
