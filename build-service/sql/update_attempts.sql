-- What became of attempts. An accept leaves `held` as it is, so that it changes no index.
UPDATE build_attempts a SET
	state = new.state, held = new.held, phase = new.phase, commit_sha = new.commit_sha,
	accepted_at = CASE WHEN new.state <> 'assigned' AND new.state <> 'lost' THEN coalesce(a.accepted_at, now()) ELSE a.accepted_at END,
	ended_at = CASE WHEN new.held THEN NULL ELSE now() END,
	end_reason = new.end_reason
FROM unnest($1::uuid[], $2::integer[], $3::text[], $4::boolean[], $5::text[], $6::text[], $7::text[])
AS new (build_id, attempt, state, held, phase, commit_sha, end_reason)
WHERE a.build_id = new.build_id AND a.attempt = new.attempt
