-- Whether the build service has applied every request partition up to the ends $1 (a JSON array, by partition).
SELECT coalesce(bool_and(coalesce(o.next_offset, 0) >= e.value::bigint), true) AS applied
FROM jsonb_array_elements_text($1::jsonb) WITH ORDINALITY e (value, place)
LEFT JOIN consumer_offsets o
	ON o.consumer = 'kiln-build-service' AND o.topic = 'kiln.build.requests' AND o.partition = e.place - 1
