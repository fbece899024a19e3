-- What build-list-filtered finds (the same parameters), for a project with more kinds of builds than are merged: looks at the next $12 builds in
-- order. The last of them comes too, when there may be more (`last`), whether it `fits` or not.
SELECT *
FROM (
	SELECT *, sum(octet_length(metadata)) OVER page AS bytes_before, lead(true, 1, false) OVER page AS more
	FROM (
		SELECT *
		FROM (
			SELECT b.id, b.project_id, b.project_name, b.status, b.phase, b.attempt, b.attempts_used, b.max_attempts, b.worker_id, b.metadata,
				to_char(b.created_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"') AS created_at, to_char(b.started_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"') AS started_at, to_char(b.finished_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"') AS finished_at,
				kiln_build_fits(b, $2::text, $3::text, $4::text[], $5::text, $6::text) AND ($7::text IS NULL OR b.result ->> 'commit_sha' = $7) AS fits,
				row_number() OVER (ORDER BY b.created_at DESC, b.id DESC) = $12::int AS last
			FROM (
				SELECT *
				FROM build_audit
				WHERE project_id = $1::uuid AND (created_at, id) < ($8::timestamptz, $9::uuid) AND created_at >= $10::timestamptz
				ORDER BY created_at DESC, id DESC
				LIMIT $12) AS found
			CROSS JOIN LATERAL (SELECT (found::build_audit).*) b
		) AS looked
		WHERE fits OR last
		ORDER BY created_at DESC, id DESC
		LIMIT $11::int
	) AS chosen
	WINDOW page AS (ORDER BY created_at DESC, id DESC ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING)
) AS measured
WHERE coalesce(bytes_before, 0) < $13::bigint
ORDER BY created_at DESC, id DESC
