-- One delivery for each terminal event of a build with a callback_url: ids, ce_ids, types, build ids, bodies, traceparents; $7 the first pause in ms.
-- The public event does not hold the URL; the build's row does.
WITH inserted AS (
	INSERT INTO webhook_deliveries (id, build_id, project_id, event_id, event_type, url, body, state, next_attempt_at, traceparent)
	SELECT event.id, build.id, build.project_id, event.event_id, event.event_type, build.callback_url, event.body,
		'pending', now() + $7::bigint * interval '1 millisecond', event.traceparent
	FROM unnest($1::uuid[], $2::text[], $3::text[], $4::uuid[], $5::bytea[], $6::text[])
		AS event (id, event_id, event_type, build_id, body, traceparent)
		JOIN build_audit AS build ON build.id = event.build_id
	WHERE build.callback_url IS NOT NULL
	ON CONFLICT (event_id, url) DO NOTHING
	RETURNING id
)
SELECT count(*) AS inserted FROM inserted;
