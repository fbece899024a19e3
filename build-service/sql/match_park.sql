-- Builds that were met in the common line while their project was full. Whoever is deleting one of them just now is not waited for.
-- $1 ids
UPDATE build_queue SET parked = true
WHERE build_id IN (SELECT build_id FROM build_queue WHERE build_id = ANY ($1::uuid[]) AND NOT parked FOR UPDATE SKIP LOCKED)
