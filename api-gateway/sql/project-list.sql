-- Projects, newest first, after ($1, $2) if given; $3: only these names (a JSON array). A provisional one joins when its build was applied.
-- $4 at most, and none behind those whose settings have $5 bytes, as they are stored (no more are read than have so many) and as they are shown; `more`: another
-- one follows.
SELECT id, name, git_url, branch, credential, concurrency, agent::text AS agent, network::text AS network, settings, version, last_sequence,
	provisional_build, false AS deleted, to_char(created_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"') AS created_at, to_char(updated_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"') AS updated_at, more
FROM (
	SELECT *, sum(octet_length(settings)) OVER shown AS bytes_before
	FROM (
		SELECT id, name, git_url, branch, credential, concurrency, agent, network, settings::text AS settings, version, last_sequence, provisional_build, created_at, updated_at, more
		FROM (
			SELECT *, sum(pg_column_size(settings)) OVER stored AS bytes_before, lead(true, 1, false) OVER stored AS more
			FROM (
				SELECT id, name, git_url, branch, credential, concurrency, agent, network, settings, version, last_sequence, provisional_build, created_at, updated_at
				FROM projects
				WHERE deleted_at IS NULL AND provisional_build IS NULL
					AND ($1::timestamptz IS NULL OR (created_at, id) < ($1::timestamptz, $2::uuid))
					AND ($3::jsonb IS NULL OR name IN (SELECT jsonb_array_elements_text($3::jsonb)))
				ORDER BY created_at DESC, id DESC
				LIMIT $4::int
			) found
			WINDOW stored AS (ORDER BY created_at DESC, id DESC ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING)
		) measured
		WHERE coalesce(bytes_before, 0) < $5::bigint
		OFFSET 0 -- written once
	) page
	WINDOW shown AS (ORDER BY created_at DESC, id DESC ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING)
) l
WHERE coalesce(bytes_before, 0) < $5::bigint
ORDER BY l.created_at DESC, l.id DESC
