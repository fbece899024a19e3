-- The newest version of every template. $1: at most so many.
SELECT DISTINCT ON (name) name, version, text, defaults::text AS defaults
FROM templates
ORDER BY name, version DESC
LIMIT $1::bigint
