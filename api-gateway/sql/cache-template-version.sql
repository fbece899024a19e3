-- One version of a template.
SELECT name, version, text, defaults::text AS defaults
FROM templates
WHERE name = $1 AND version = $2::int
