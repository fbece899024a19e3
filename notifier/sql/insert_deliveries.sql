-- One delivery for each terminal event whose build has a callback_url: ids, ce_ids, types, build ids, bodies, traceparents; $7 the first pause in ms.
-- The public event does not hold the URL; the build's row does. The build's row is there before its events are, so `lost` is 0;
-- after a restore only when the build service has read the requests again, until then the statement fails with KN004.
WITH event AS (
	SELECT * FROM unnest($1::uuid[], $2::text[], $3::text[], $4::uuid[], $5::bytea[], $6::text[])
		AS event (id, event_id, event_type, build_id, body, traceparent)
), inserted AS (
	INSERT INTO webhook_deliveries (id, build_id, project_id, event_id, event_type, url, body, state, next_attempt_at, traceparent)
	SELECT event.id, build.id, build.project_id, event.event_id, event.event_type, build.callback_url, event.body,
		'pending', now() + $7::bigint * interval '1 millisecond', event.traceparent
	FROM event JOIN build_audit AS build ON build.id = event.build_id
	WHERE build.callback_url IS NOT NULL
	ON CONFLICT (event_id, url) DO NOTHING
	RETURNING id
)
SELECT (SELECT count(*) FROM inserted) AS inserted, lost,
	kiln_expect(CASE WHEN EXISTS (SELECT FROM unapplied_logs) THEN lost ELSE 0 END, 0, 'KN004', 'builds are missing that the restore is to bring back')
FROM (SELECT count(*) AS lost FROM event WHERE NOT EXISTS (SELECT FROM build_audit AS build WHERE build.id = event.build_id)) AS counted;
