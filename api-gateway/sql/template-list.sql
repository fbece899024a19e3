-- The newest version of each template, by name after $1. $2 at most, and none behind those whose defaults have $3 bytes, as they are stored (no more are read than
-- have so many) and as they are shown; `more`: another one follows.
SELECT name, version, defaults, description, to_char(created_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"') AS created_at, more
FROM (
	SELECT *, sum(octet_length(defaults)) OVER shown AS bytes_before
	FROM (
		SELECT name, version, defaults::text AS defaults, description, created_at, more
		FROM (
			SELECT *, sum(pg_column_size(defaults)) OVER stored AS bytes_before, lead(true, 1, false) OVER stored AS more
			FROM (
				SELECT DISTINCT ON (name) name, version, defaults, description, created_at
				FROM templates
				WHERE $1::text IS NULL OR name > $1
				ORDER BY name, version DESC
				LIMIT $2::int
			) found
			WINDOW stored AS (ORDER BY name ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING)
		) measured
		WHERE coalesce(bytes_before, 0) < $3::bigint
		OFFSET 0 -- written once
	) page
	WINDOW shown AS (ORDER BY name ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING)
) listed
WHERE coalesce(bytes_before, 0) < $3::bigint
ORDER BY name
