-- What hellos and heartbeats said, each worker once.
INSERT INTO workers AS w (
	id, partition, incarnation, nonce, state, slots, labels, agents, hostname, version, sandbox, read_offset, drain_requested,
	hello_at, heartbeat_at)
SELECT
	id, partition, incarnation, nonce, state, slots, labels::text[], agents::text[], hostname, version, sandbox, read_offset, drain_requested,
	now(), now()
FROM unnest(
	$1::uuid[], $2::smallint[], $3::bigint[], $4::uuid[], $5::text[], $6::integer[], $7::text[], $8::text[], $9::text[], $10::text[],
	$11::text[], $12::bigint[], $13::boolean[])
AS new (id, partition, incarnation, nonce, state, slots, labels, agents, hostname, version, sandbox, read_offset, drain_requested)
ON CONFLICT (id) DO UPDATE SET
	incarnation = excluded.incarnation, nonce = excluded.nonce, state = excluded.state, slots = excluded.slots, labels = excluded.labels,
	agents = excluded.agents, hostname = excluded.hostname, version = excluded.version, sandbox = excluded.sandbox,
	read_offset = excluded.read_offset, drain_requested = excluded.drain_requested, heartbeat_at = excluded.heartbeat_at,
	-- A new incarnation has missed no accept; and the log may have lost its end since one was missed.
	read_until = CASE WHEN (w.incarnation, w.nonce) = (excluded.incarnation, excluded.nonce) THEN w.read_until ELSE 0 END,
	hello_at = CASE WHEN (w.incarnation, w.nonce) = (excluded.incarnation, excluded.nonce) THEN w.hello_at ELSE excluded.hello_at END
