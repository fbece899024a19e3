-- Builds that were met in the common line while their project was full. Whoever is deleting one of them just now is not waited for. Each by its key, whatever
-- the statistics say.
-- $1 ids
UPDATE build_queue SET parked = true, unparked = false
WHERE build_id IN (
	SELECT q.build_id
	FROM unnest($1::uuid[]) AS met (id)
		CROSS JOIN LATERAL (SELECT build_id, parked FROM build_queue WHERE build_id = met.id OFFSET 0 FOR UPDATE SKIP LOCKED) AS q
	WHERE NOT q.parked)
