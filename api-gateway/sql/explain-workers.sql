-- All workers that have not said goodbye, with what match_workers.sql may have against each; it is that statement that says which of them get something. $1 as there.
SELECT w.id, w.incarnation, w.nonce, w.hostname, w.state, array_to_string(w.labels, ',') AS labels, array_to_string(w.agents, ',') AS agents, w.slots,
	w.slots - (SELECT count(*) FROM build_attempts a WHERE a.held AND a.worker_id = w.id) AS free,
	w.heartbeat_at <= now() - $1::integer * interval '1 millisecond' AS silent, w.read_offset < w.read_until AS behind
FROM workers w
WHERE w.state <> 'gone'
ORDER BY w.id
