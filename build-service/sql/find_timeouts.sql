-- Builds whose time in the queue is over, and settling builds that wait for longer than $1 milliseconds. Looked at again under their locks.
(SELECT build_id FROM build_queue WHERE deadline <= now() ORDER BY deadline LIMIT 500)
UNION ALL
(SELECT q.build_id
FROM (SELECT build_id FROM build_queue WHERE class = '*' AND NOT parked) AS q
	CROSS JOIN LATERAL (SELECT settle_since FROM build_audit WHERE id = q.build_id OFFSET 0) AS b
WHERE b.settle_since <= now() - $1::bigint * interval '1 millisecond' LIMIT 500)
