-- Outcomes of attempts: ids, attempt numbers, states, pauses in ms, HTTP statuses, errors, durations in ms, claims (claim.sql).
-- 'released' is an attempt that the notifier broke off itself: it does not count. An outcome that comes after the claim was lost to another
-- instance changes nothing, but for one: delivered is delivered. The same is true of one that is told again, because nobody knew whether it was
-- committed: a released attempt's number may be another instance's by then, its claim is not.
-- No attempt stays open: one that was broken off after its delivery went on without it has ended as that, and who delivers after the claim was lost ends the newest one, which may never be told of.
-- What is pending is told by what it is not: so no plan goes through all that are.
WITH outcome AS (
	SELECT * FROM unnest($1::uuid[], $2::integer[], $3::text[], $4::bigint[], $5::integer[], $6::text[], $7::integer[], $8::bigint[])
		AS outcome (id, attempt, state, delay_ms, status, error, duration_ms, claim)
), ended AS (
	UPDATE webhook_attempts AS attempt
	SET status = outcome.status, error = outcome.error, duration_ms = outcome.duration_ms
	FROM outcome
	WHERE attempt.delivery_id = outcome.id AND attempt.attempt = outcome.attempt
		AND (outcome.state <> 'released'
			OR attempt.status IS NULL AND attempt.error IS NULL
				AND EXISTS (SELECT FROM webhook_deliveries WHERE id = outcome.id AND (state IN ('delivered', 'exhausted') OR attempts > outcome.attempt)))
), recorded AS (
	UPDATE webhook_deliveries AS delivery
	SET state = CASE outcome.state WHEN 'released' THEN 'pending' ELSE outcome.state END,
		attempts = CASE outcome.state WHEN 'released' THEN delivery.attempts - 1 ELSE delivery.attempts END,
		next_attempt_at = CASE WHEN outcome.state IN ('pending', 'released') THEN now() + outcome.delay_ms * interval '1 millisecond' END,
		delivered_at = CASE outcome.state WHEN 'delivered' THEN now() END,
		last_status = outcome.status,
		last_error = outcome.error,
		claimed_until = NULL
	FROM outcome
	WHERE delivery.id = outcome.id AND delivery.state NOT IN ('delivered', 'exhausted')
		AND (outcome.state = 'delivered'
			OR delivery.attempts = outcome.attempt AND (extract(epoch FROM delivery.claimed_until) * 1000000)::bigint = outcome.claim)
	RETURNING outcome.id, outcome.attempt, outcome.state, delivery.attempts
), lost AS (
	UPDATE webhook_attempts AS attempt SET error = 'lost: an earlier attempt was delivered meanwhile'
	FROM recorded
	WHERE recorded.state = 'delivered' AND recorded.attempts > recorded.attempt
		AND attempt.delivery_id = recorded.id AND attempt.attempt = recorded.attempts AND attempt.status IS NULL AND attempt.error IS NULL
)
DELETE FROM webhook_attempts AS attempt USING recorded
WHERE attempt.delivery_id = recorded.id AND attempt.attempt = recorded.attempt AND recorded.state = 'released';
