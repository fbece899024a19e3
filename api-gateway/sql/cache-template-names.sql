-- Templates and their newest versions, without their texts, by name after $1. $2: at most so many.
SELECT name, max(version) AS version
FROM templates
WHERE name > $1
GROUP BY name
ORDER BY name
LIMIT $2::int
