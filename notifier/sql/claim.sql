-- Takes due deliveries as attempts that begin now. $1 rows, $2 bytes of bodies, $3 attempts under way to one host, $4 claim in ms;
-- hosts: $5 those without room, $6 and $7 those with attempts under way and how many.
-- The host of a URL is what stands between :// and the path, so a port counts. Only the oldest 512 of the hosts with room are looked at: who was not
-- among them is after those hosts are full. SKIP LOCKED is right here: whoever holds a row is about to deliver it.
WITH oldest AS MATERIALIZED (
	SELECT id, next_attempt_at, octet_length(body) AS bytes, coalesce(substring(lower(url) FROM '^https?://([^/?#]+)'), '') AS host
	FROM webhook_deliveries
	WHERE state = 'pending' AND next_attempt_at <= now() AND (claimed_until IS NULL OR claimed_until <= now())
		AND coalesce(substring(lower(url) FROM '^https?://([^/?#]+)'), '') <> ALL ($5::text[])
	ORDER BY next_attempt_at
	LIMIT 512
), ranked AS (
	SELECT oldest.id, oldest.host, next_attempt_at, bytes,
		row_number() OVER (PARTITION BY oldest.host ORDER BY next_attempt_at, oldest.id) + coalesce(busy.attempts, 0) AS rank
	FROM oldest LEFT JOIN unnest($6::text[], $7::integer[]) AS busy (host, attempts) ON busy.host = oldest.host
), fitting AS (
	SELECT id, host, next_attempt_at, bytes, sum(bytes) OVER (ORDER BY next_attempt_at, id) AS bytes_so_far
	FROM ranked WHERE rank <= $3::integer
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
	SET claimed_until = now() + $4::bigint * interval '1 millisecond', attempts = delivery.attempts + 1
	FROM locked WHERE delivery.id = locked.id
	RETURNING delivery.*, locked.host
), begun AS (
	INSERT INTO webhook_attempts (delivery_id, attempt, started_at)
	SELECT id, attempts, clock_timestamp() FROM claimed
	ON CONFLICT DO NOTHING
)
SELECT claimed.id, claimed.event_id, claimed.event_type, claimed.build_id, claimed.url, claimed.host, claimed.traceparent,
	left(request.origin ->> 'request_id', 65) AS request_id, -- one more than an id may have: longer is none
	claimed.attempts AS attempt, encode(claimed.body, 'hex') AS body, encode(project.webhook_secret, 'hex') AS secret
FROM claimed LEFT JOIN projects AS project ON project.id = claimed.project_id
	LEFT JOIN LATERAL ( -- by its key, too
		SELECT origin FROM build_requests WHERE build_id = claimed.build_id OFFSET 0
	) AS request ON true;
