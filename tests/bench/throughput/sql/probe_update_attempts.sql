-- $1 ids, $2 state
UPDATE build_attempts SET state = $2, held = $2 <> 'finished', accepted_at = now() WHERE build_id = ANY ($1::uuid[]) AND attempt = 1
