-- Versions made in the last $1 seconds.
SELECT name, version, text, defaults::text AS defaults
FROM templates
WHERE created_at > now() - $1::int * interval '1 second'
ORDER BY name, version
