-- One version of a template: $2, or the newest.
SELECT name, version, text, defaults::text AS defaults, description, to_char(created_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"') AS created_at
FROM templates
WHERE name = $1 AND ($2::int IS NULL OR version = $2::int)
ORDER BY version DESC
LIMIT 1
