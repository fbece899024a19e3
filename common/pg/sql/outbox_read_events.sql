-- Named events, from the trail: of the builds $1 those from $2 to $3, in the order of the names, by key whatever the statistics say.
SELECT named.n, event.sequence, event.type, encode(event.hash, 'hex') AS hash, audit.traceparent, convert_from(event.body, 'UTF8') AS text
FROM unnest($1::uuid[], $2::integer[], $3::integer[]) WITH ORDINALITY AS named (build_id, first, last, n)
	LEFT JOIN LATERAL (SELECT traceparent FROM build_audit WHERE id = named.build_id OFFSET 0) AS audit ON true
	CROSS JOIN LATERAL (
		SELECT sequence, type, hash, body FROM build_events WHERE build_id = named.build_id AND sequence BETWEEN named.first AND named.last OFFSET 0
	) AS event
ORDER BY named.n, event.sequence
