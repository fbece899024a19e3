-- Which workers in these partitions of kiln.worker.events hold attempts. From what is held: there are more workers that will never come back.
-- $1 partitions
SELECT w.id, w.partition
FROM (SELECT DISTINCT worker_id FROM build_attempts WHERE held) AS holder
	CROSS JOIN LATERAL (SELECT id, partition FROM workers WHERE id = holder.worker_id OFFSET 0) AS w
WHERE w.partition = ANY ($1::smallint[])
