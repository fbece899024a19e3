-- The newest version of a template.
SELECT name, version, text, defaults::text AS defaults
FROM templates
WHERE name = $1
ORDER BY version DESC
LIMIT 1
