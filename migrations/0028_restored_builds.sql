-- 0026's, for a build that had ended before the backup and of which an event came after it (build.late_commit): of those that were published since, none tells
-- its result and its end, which stay as they are. One that goes on has neither: what a request that was refused had to do with it goes. And
-- builds that wait, but those that settle, are parked when their project is gone, as the build service does it (build-service/sql/enqueue.sql).
CREATE OR REPLACE FUNCTION kiln_roll_forward(ids uuid[]) RETURNS bigint LANGUAGE sql AS $$
	WITH event AS MATERIALIZED (
		SELECT
			published.*,
			-- It may have been accepted before the backup.
			bool_or(type = 'build.started' AND data ->> 'mode' = 'run') OVER (PARTITION BY build_id, data ->> 'attempt') OR EXISTS (
				SELECT FROM build_attempts a
				WHERE a.build_id = published.build_id AND a.attempt = (data ->> 'attempt')::integer AND a.mode = 'run' AND a.accepted_at IS NOT NULL
			) AS was_tried
		FROM (
			SELECT r.*, convert_from(r.body, 'UTF8')::json AS text, convert_from(r.body, 'UTF8')::jsonb AS data, b.last_sequence
			FROM restored_events r JOIN build_audit b ON b.id = r.build_id
			WHERE r.build_id = ANY (ids)
		) AS published
	), told AS MATERIALIZED (
		SELECT
			build_id, max(sequence) AS last_sequence,
			(array_agg(hash ORDER BY sequence DESC))[1] AS last_hash,
			(array_agg(data ORDER BY sequence DESC))[1] AS last,
			(array_agg(data ORDER BY sequence) FILTER (WHERE data ? 'branch'))[1] AS base,
			(array_agg(text -> 'result' ORDER BY sequence) FILTER (WHERE data ? 'result'))[1] AS result,
			coalesce(bool_or(data ? 'cancel_requested' OR type = 'build.cancelled'), false) AS cancel_requested,
			coalesce(bool_or(data ->> 'phase' = 'pushing'), false) AS pushing_seen,
			-- As the build service counts: one that was lost, or handed back, does not count.
			count(*) FILTER (WHERE type = 'build.started' AND data ->> 'mode' = 'run')
				- count(*) FILTER (WHERE type = 'build.attempt_lost' AND was_tried
					AND (data ->> 'reason' <> 'failed' OR data #>> '{error,class}' = 'cancelled')) AS used,
			(array_agg(data ->> 'mode' ORDER BY sequence DESC) FILTER (WHERE type = 'build.started'))[1] AS mode,
			max(time) FILTER (WHERE data ->> 'phase' = 'queued') AS queued_at,
			min(time) FILTER (WHERE type = 'build.started') AS started_at,
			min(time) FILTER (WHERE data ? 'result') AS finished_at
		FROM event
		GROUP BY build_id
		HAVING max(sequence) >= max(last_sequence)
			AND count(*) FILTER (WHERE sequence > last_sequence) = max(sequence) - max(last_sequence)
	), state AS MATERIALIZED (
		SELECT
			told.*, last ->> 'status' AS status, last ->> 'phase' AS phase, (last ->> 'attempt')::integer AS attempt,
			CASE WHEN last ->> 'phase' IS NULL THEN coalesce(told.result, b.result) END AS of_result,
			coalesce(last ->> 'phase' <> 'queued', false) AS held,
			-- A push may still land. How the build was to end is in no event, but for a cancel.
			last ->> 'status' = 'pending' AND (told.pushing_seen OR b.pushing_seen) AND (told.cancel_requested OR b.cancel_requested)
				OR last ->> 'status' IN ('pending', 'running') AND coalesce(mode = 'settle', b.settling) AS settling,
			b.project_id, b.class, b.priority, b.queue_timeout_s, b.created_at, b.template,
			coalesce(b.branch, base ->> 'branch', b.asked_branch) AS of_branch, b.status AS status_before
		FROM told JOIN build_audit b ON b.id = told.build_id
	), trail AS (
		INSERT INTO build_events (build_id, sequence, type, time, attempt, body, hash)
		SELECT build_id, sequence, type, time, (data ->> 'attempt')::integer, body, hash
		FROM event WHERE build_id IN (SELECT build_id FROM state)
		ORDER BY build_id, sequence
		ON CONFLICT (build_id, sequence) DO UPDATE SET
			type = excluded.type, time = excluded.time, attempt = excluded.attempt, body = excluded.body, hash = excluded.hash
	), tried AS (
		SELECT
			state.build_id, (data ->> 'attempt')::integer AS attempt,
			max(data ->> 'worker_id') AS worker_id,
			coalesce(max(data ->> 'mode'), CASE WHEN settling THEN 'settle' ELSE 'run' END) AS mode,
			held AND state.attempt = (data ->> 'attempt')::integer AS held,
			(array_agg(data ->> 'phase' ORDER BY sequence DESC)
				FILTER (WHERE data ->> 'phase' IN ('preparing', 'agent', 'committing', 'pushing')))[1] AS phase,
			(array_agg(data ->> 'commit_sha' ORDER BY sequence DESC) FILTER (WHERE data ->> 'phase' = 'pushing' AND data ? 'commit_sha'))[1] AS commit_sha,
			min(time) AS assigned_at, min(time) FILTER (WHERE type = 'build.started') AS accepted_at, max(time) AS ended_at,
			max(data ->> 'reason') AS lost
		FROM state JOIN event USING (build_id)
		WHERE (data ->> 'attempt')::integer > 0
		GROUP BY state.build_id, state.settling, state.held, state.attempt, (data ->> 'attempt')::integer
	), attempts AS (
		INSERT INTO build_attempts (
			build_id, attempt, lease_id, worker_id, incarnation, nonce, mode, state, held, phase, commit_sha,
			assigned_at, accepted_at, ended_at, end_reason)
		SELECT
			build_id, attempt, gen_random_uuid(),
			coalesce(known.id, (SELECT id FROM workers ORDER BY heartbeat_at DESC LIMIT 1), tried.worker_id::uuid, '00000000-0000-0000-0000-000000000000'),
			1, gen_random_uuid(), mode,
			CASE WHEN held THEN 'accepted' WHEN lost IS NULL THEN 'finished' ELSE 'lost' END, held, phase, commit_sha,
			assigned_at, accepted_at, CASE WHEN NOT held THEN ended_at END, CASE WHEN NOT held THEN coalesce(lost, 'restored') END
		FROM tried LEFT JOIN workers known ON known.id = tried.worker_id::uuid
		ON CONFLICT (build_id, attempt) DO UPDATE SET
			state = CASE WHEN excluded.held AND excluded.accepted_at IS NULL THEN build_attempts.state ELSE excluded.state END,
			held = excluded.held, phase = coalesce(excluded.phase, build_attempts.phase), commit_sha = coalesce(excluded.commit_sha, build_attempts.commit_sha),
			accepted_at = coalesce(build_attempts.accepted_at, excluded.accepted_at), ended_at = excluded.ended_at, end_reason = excluded.end_reason
			WHERE build_attempts.held
		RETURNING build_id, lease_id, held
	), builds AS (
		UPDATE build_audit b SET
			status = state.status, phase = state.phase, cancel_requested = b.cancel_requested OR state.cancel_requested,
			attempt = state.attempt, lease_id = running.lease_id,
			worker_id = CASE WHEN state.phase = 'queued' THEN NULL ELSE coalesce((state.last ->> 'worker_id')::uuid, b.worker_id) END,
			attempts_used = greatest(b.attempts_used + state.used, 0),
			settling = state.settling,
			settle_end = CASE WHEN state.settling
				THEN coalesce(b.settle_end, '{"error":{"class":"cancelled","message":"cancelled"},"status":"cancelled"}') END,
			settle_since = CASE WHEN state.settling THEN coalesce(b.settle_since, now()) END,
			base_sha = coalesce(b.base_sha, state.base ->> 'base_sha'), branch = coalesce(b.branch, state.base ->> 'branch'),
			pushing_seen = b.pushing_seen OR state.pushing_seen,
			result = state.of_result, error_class = state.of_result #>> '{error,class}',
			last_sequence = state.last_sequence, last_hash = state.last_hash,
			queued_at = coalesce(state.queued_at, b.queued_at), started_at = coalesce(b.started_at, state.started_at),
			finished_at = CASE WHEN state.phase IS NULL THEN coalesce(state.finished_at, b.finished_at) END, updated_at = now()
		FROM state LEFT JOIN attempts running ON running.build_id = state.build_id AND running.held
		WHERE b.id = state.build_id
	), unlisted AS (
		-- Only what a request that is refused today had to do with it.
		DELETE FROM ended_builds e USING state s
		WHERE e.project_id = s.project_id AND e.build_id = s.build_id AND s.status_before = 'failed' AND s.status <> 'failed'
	), listed AS (
		INSERT INTO ended_builds (project_id, list, status, class, created_at, build_id)
		SELECT project_id, list, status, class, created_at, build_id
		FROM state CROSS JOIN LATERAL kiln_build_lists(of_branch, template, of_result ->> 'commit_sha') AS list
		WHERE phase IS NULL
		ON CONFLICT DO NOTHING
	), dequeued AS (
		DELETE FROM build_queue q USING state s WHERE q.build_id = s.build_id AND s.phase IS DISTINCT FROM 'queued'
	), queued AS (
		INSERT INTO build_queue (build_id, project_id, class, parked, queue_key, deadline, created_at, own_class, branch, template)
		SELECT
			build_id, project_id, CASE WHEN settling THEN '*' ELSE class END,
			NOT settling AND (SELECT p.id FROM projects p WHERE p.id = state.project_id) IS NULL,
			CASE WHEN settling THEN '-infinity' ELSE created_at - priority * interval '5 minutes' END,
			CASE WHEN NOT settling THEN now() + queue_timeout_s * interval '1 second' END,
			created_at, class, of_branch, template
		FROM state WHERE phase = 'queued'
		ON CONFLICT (build_id) DO UPDATE SET
			class = excluded.class, parked = excluded.parked, queue_key = excluded.queue_key, deadline = excluded.deadline, branch = excluded.branch
	), released AS (
		DELETE FROM project_slots p USING state s WHERE p.build_id = s.build_id AND NOT s.held
	), places AS (
		SELECT p.id AS project_id, n, row_number() OVER (PARTITION BY p.id ORDER BY n) AS place
		FROM projects p CROSS JOIN LATERAL generate_series(1, p.concurrency) AS n
		WHERE p.id IN (SELECT project_id FROM state) AND NOT EXISTS (SELECT FROM project_slots t WHERE t.project_id = p.id AND t.n = n.n)
	), claims AS (
		SELECT build_id, project_id, row_number() OVER (PARTITION BY project_id ORDER BY created_at, build_id) AS place
		FROM state WHERE held AND NOT EXISTS (SELECT FROM project_slots t WHERE t.build_id = state.build_id)
	), claimed AS (
		INSERT INTO project_slots (project_id, n, build_id)
		SELECT project_id, n, build_id FROM places JOIN claims USING (project_id, place)
		ON CONFLICT DO NOTHING
	), used_up AS (
		DELETE FROM restored_events r USING state s WHERE r.build_id = s.build_id
	)
	SELECT count(*) FROM state
$$;
