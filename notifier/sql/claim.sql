-- Takes due deliveries as attempts that begin now. $1 rows, $2 bytes of bodies, $3 attempts and $4 bytes under way to one host, $5 claim in ms;
-- hosts: $6 those with attempts under way, $7 how many and $8 their bytes, $9 the last that the walk has come to;
-- projects: $10 attempts and $11 bytes under way of one, $12 those with attempts under way, $13 how many and $14 their bytes.
-- Gives a row for each, or one without a delivery, and in each `walk`, the next call's $9, and `ms` until that has something to do (NULL: nothing waits).
--
-- A host has room for one body, however large, and for more while they all have at most $4; each host's are taken in their order. The oldest 512 are looked at; who is not
-- among them is after those hosts are full. When they are all of hosts without room for their next one, what waits for these must be in nobody's way, so the walk goes from one host to the next along its index, 512 hosts in each call, for none of them may have anything due. A project has room in the same way, but that what it has none for is left out as if it were not there,
-- lest it takes the places of others at the same host; only behind 8 of it that are older, at a host that the walk has come to, do others wait. SKIP LOCKED is right here: whoever holds a row is about to deliver it.
WITH RECURSIVE busy AS MATERIALIZED (
	SELECT * FROM unnest($6::text[], $7::integer[], $8::bigint[]) AS busy (host, attempts, bytes)
), busy_project AS MATERIALIZED (
	SELECT * FROM unnest($12::uuid[], $13::integer[], $14::bigint[]) AS busy (project_id, attempts, bytes)
), oldest AS MATERIALIZED (
	SELECT id, next_attempt_at, octet_length(body) AS bytes, kiln_webhook_host(url) AS host, project_id
	FROM webhook_deliveries
	WHERE state = 'pending' AND next_attempt_at <= now() AND (claimed_until IS NULL OR claimed_until <= now())
	ORDER BY next_attempt_at
	LIMIT 512
), of_projects_with_room AS (
	SELECT oldest.* FROM oldest LEFT JOIN busy_project USING (project_id)
	WHERE busy_project.project_id IS NULL OR busy_project.attempts < $10::integer AND busy_project.bytes + oldest.bytes <= $11::bigint
), with_room AS (
	SELECT FROM (SELECT DISTINCT ON (host) host, bytes FROM of_projects_with_room ORDER BY host, next_attempt_at, id) AS first LEFT JOIN busy USING (host)
	WHERE busy.host IS NULL OR busy.attempts < $3::integer AND busy.bytes + first.bytes <= $4::bigint
), walk AS (
	SELECT 0 AS n, $9::text AS host, NULL::timestamptz AS first_at
	WHERE (SELECT count(*) = 512 FROM oldest) AND NOT EXISTS (SELECT FROM with_room)
	UNION ALL
	SELECT walk.n + 1, next.host, next.first_at
	FROM walk CROSS JOIN LATERAL (
		SELECT kiln_webhook_host(url) AS host, next_attempt_at AS first_at
		FROM webhook_deliveries
		WHERE state = 'pending' AND kiln_webhook_host(url) > walk.host
		ORDER BY kiln_webhook_host(url), next_attempt_at
		LIMIT 1
	) AS next
	WHERE walk.n < 512
), due AS (
	SELECT id, next_attempt_at, bytes, host, project_id FROM of_projects_with_room
	UNION ALL
	SELECT line.id, line.next_attempt_at, line.bytes, walk.host, project_id
	FROM walk CROSS JOIN LATERAL (
		SELECT id, next_attempt_at, octet_length(body) AS bytes, project_id
		FROM webhook_deliveries
		WHERE state = 'pending' AND kiln_webhook_host(url) = walk.host AND next_attempt_at <= now()
			AND (claimed_until IS NULL OR claimed_until <= now())
		ORDER BY next_attempt_at
		LIMIT 8
	) AS line LEFT JOIN busy_project USING (project_id)
	WHERE (busy_project.project_id IS NULL OR busy_project.attempts < $10::integer AND busy_project.bytes + line.bytes <= $11::bigint)
		AND walk.first_at <= now() AND NOT EXISTS (SELECT FROM busy WHERE busy.host = walk.host AND busy.attempts >= $3::integer)
), ranked AS (
	SELECT due.id, due.host, due.project_id, next_attempt_at, due.bytes,
		row_number() OVER of_host + coalesce(busy.attempts, 0) AS rank,
		sum(due.bytes) OVER of_host + coalesce(busy.bytes, 0) AS host_bytes
	FROM due LEFT JOIN busy ON busy.host = due.host
	WINDOW of_host AS (PARTITION BY due.host ORDER BY next_attempt_at, due.id)
), ranked_of_project AS (
	SELECT id, host, next_attempt_at, ranked.bytes,
		row_number() OVER of_project + coalesce(busy_project.attempts, 0) AS rank,
		sum(ranked.bytes) OVER of_project + coalesce(busy_project.bytes, 0) AS project_bytes
	FROM ranked LEFT JOIN busy_project USING (project_id)
	WHERE rank <= $3::integer AND (rank = 1 OR host_bytes <= $4::bigint)
	WINDOW of_project AS (PARTITION BY project_id ORDER BY next_attempt_at, id)
), fitting AS (
	SELECT id, host, next_attempt_at, bytes, sum(bytes) OVER (ORDER BY next_attempt_at, id) AS bytes_so_far
	FROM ranked_of_project WHERE rank <= $10::integer AND (rank = 1 OR project_bytes <= $11::bigint)
), wanted AS (
	SELECT id, host FROM fitting
	WHERE bytes_so_far <= $2::bigint OR bytes_so_far = bytes
	ORDER BY next_attempt_at, id LIMIT $1::integer
), locked AS (
	SELECT delivery.id, wanted.host
	FROM wanted CROSS JOIN LATERAL ( -- by its key, whatever the statistics say
		SELECT id, state, next_attempt_at, claimed_until FROM webhook_deliveries WHERE id = wanted.id OFFSET 0 FOR UPDATE SKIP LOCKED
	) AS delivery
	WHERE delivery.state = 'pending' AND delivery.next_attempt_at <= now()
		AND (delivery.claimed_until IS NULL OR delivery.claimed_until <= now())
), claimed AS (
	UPDATE webhook_deliveries AS delivery
	SET claimed_until = now() + $5::bigint * interval '1 millisecond', attempts = delivery.attempts + 1
	FROM locked WHERE delivery.id = locked.id
	RETURNING delivery.*, locked.host
), begun AS (
	INSERT INTO webhook_attempts (delivery_id, attempt, started_at)
	SELECT id, attempts, clock_timestamp() FROM claimed
	ON CONFLICT DO NOTHING
), lost AS (
	-- The one before, when its claim has ended without a word. Its outcome may come yet (record.sql).
	UPDATE webhook_attempts AS attempt SET error = 'lost: the notifier that made it has not told how it ended'
	FROM claimed
	WHERE attempt.delivery_id = claimed.id AND attempt.attempt = claimed.attempts - 1 AND attempt.status IS NULL AND attempt.error IS NULL
), later AS (
	-- The next one that its host and its project have room for, though another of that host may come before, or when to look whether there is one behind 512 that have none.
	SELECT coalesce(
		min(next_at) FILTER (WHERE (busy.host IS NULL OR busy.attempts < $3::integer AND busy.bytes + next.bytes <= $4::bigint)
			AND (busy_project.project_id IS NULL OR busy_project.attempts < $10::integer AND busy_project.bytes + next.bytes <= $11::bigint)),
		CASE count(*) WHEN 512 THEN max(next_at) END
	) AS next_at
	FROM (
		SELECT next_attempt_at AS next_at, octet_length(body) AS bytes, kiln_webhook_host(url) AS host, project_id
		FROM webhook_deliveries
		WHERE state = 'pending' AND next_attempt_at > now() AND claimed_until IS NULL
		ORDER BY next_attempt_at
		LIMIT 512
	) AS next LEFT JOIN busy USING (host) LEFT JOIN busy_project USING (project_id)
), next_call AS (
	SELECT coalesce((SELECT host FROM walk WHERE n = 512), '') AS walk,
		CASE
			WHEN EXISTS (SELECT FROM wanted) THEN 0 -- there is more, or another instance is just taking it
			WHEN EXISTS (SELECT FROM walk WHERE n = 512 OR n = 0 AND host <> '') THEN 100 -- there are hosts that it has not come to
			ELSE (SELECT floor(extract(epoch FROM next_at - now()) * 1000)::bigint FROM later)
		END AS ms
)
SELECT next_call.walk, next_call.ms, claimed.id, claimed.event_id, claimed.event_type, claimed.build_id, claimed.url, claimed.host, claimed.project_id, claimed.traceparent,
	left(request.origin ->> 'request_id', 65) AS request_id, -- one more than an id may have: longer is none
	claimed.attempts AS attempt, (extract(epoch FROM claimed.claimed_until) * 1000000)::bigint AS claim, -- µs: exact
	encode(claimed.body, 'hex') AS body, encode(project.webhook_secret, 'hex') AS secret
FROM next_call LEFT JOIN claimed ON true LEFT JOIN projects AS project ON project.id = claimed.project_id
	LEFT JOIN LATERAL ( -- by its key, too
		SELECT origin FROM build_requests WHERE build_id = claimed.build_id OFFSET 0
	) AS request ON true;
