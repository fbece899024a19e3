-- Workers with free slots that may get attempts: active, heard of lately by this clock, and read up to where a missed accept told. Free = announced minus held,
-- counted here. Not locked: the chosen ones are, and looked at again.
-- $1 milliseconds that "lately" means
SELECT id, incarnation, nonce, array_to_string(labels, ',') AS labels, array_to_string(agents, ',') AS agents, free
FROM (
	SELECT w.*, w.slots - (SELECT count(*) FROM build_attempts a WHERE a.held AND a.worker_id = w.id) AS free
	FROM workers w
	WHERE w.state = 'active' AND w.heartbeat_at > now() - $1::integer * interval '1 millisecond' AND w.read_offset >= w.read_until
) AS available
WHERE free > 0
