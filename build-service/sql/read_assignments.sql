-- What attempt.assign says of a build. `earlier`: every attempt but the one that is held now.
-- The build that it continues (`continue_from`) is told of when it is one of the same project; its texts as JSON, which may hold what is no text to Postgres (U+0000).
-- Few specs have it, and to look for the word costs less than to parse them (they are written by requests.c).
-- Of many builds only the first, whose specs begin before $2 bytes: hundreds of large ones at once are more than anybody can take. One after the other, so that
-- no spec is unpacked for nothing; four are not counted, for one is a message's content at most. A build that continues another counts for 2 MiB more, for the
-- texts of that one.
-- $1 ids in the order of their turn, $2 bytes
WITH RECURSIVE first AS (
	SELECT 0 AS n, 0::bigint AS bytes
	UNION ALL
	SELECT first.n + 1, first.bytes + coalesce((
		SELECT octet_length(said.spec) + CASE WHEN strpos(said.spec, '"continue_from":"') > 0 THEN 2097152 ELSE 0 END
		FROM (SELECT spec::text AS spec FROM build_requests WHERE build_id = ($1::uuid[])[first.n + 1] OFFSET 0) AS said), 0)
	FROM first
	WHERE first.n < cardinality($1::uuid[]) AND first.bytes < $2::bigint
)
SELECT
	b.id, b.project_id, b.project_name, r.spec, r.git, b.base_sha, b.branch, b.traceparent,
	CASE WHEN b.settle_end IS NOT NULL
		THEN json_build_object('status', b.settle_end -> 'status', 'error', b.settle_end -> 'error') END AS settle_end,
	CASE WHEN b.attempt = 0 THEN '[]' ELSE (
		SELECT coalesce(json_agg(json_build_object('attempt', a.attempt, 'commit_sha', a.commit_sha) ORDER BY a.attempt), '[]')
		FROM build_attempts a WHERE a.build_id = b.id AND NOT a.held)::text END AS earlier,
	followed.id AS continue_from, earlier_build.id AS continued_id, earlier_build.finished_at IS NOT NULL AS continued_ended,
	earlier_request.spec -> 'prompt' AS continued_prompt, earlier_build.result -> 'output' AS continued_output, earlier_build.result -> 'agent' AS continued_agent,
	(extract(epoch FROM clock_timestamp() - b.queued_at) * 1000000)::bigint AS queued_us
FROM build_audit b LEFT JOIN build_requests r ON r.build_id = b.id
	LEFT JOIN LATERAL (
		SELECT CASE WHEN said.text ~ '^[0-9a-f]{8}-([0-9a-f]{4}-){3}[0-9a-f]{12}$' THEN said.text::uuid END AS id
		FROM (SELECT CASE WHEN strpos(r.spec::text, '"continue_from":') > 0 THEN r.spec -> 'continue_from' #>> '{}' END AS text OFFSET 0) AS said
		OFFSET 0
	) AS followed ON true
	LEFT JOIN LATERAL (SELECT * FROM build_audit WHERE id = followed.id OFFSET 0) AS earlier_build ON earlier_build.project_id = b.project_id
	LEFT JOIN build_requests earlier_request ON earlier_request.build_id = earlier_build.id
WHERE b.id = ANY (($1::uuid[])[1:CASE WHEN cardinality($1::uuid[]) <= 4 THEN 4 ELSE (SELECT max(n) FROM first) END])
ORDER BY b.id
