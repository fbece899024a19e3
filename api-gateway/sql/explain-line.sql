-- The builds whose turn comes before that of $1, by class: those that are parked with a full project and those whose time has not come are in nobody's way.
SELECT o.class, count(*) AS ahead
FROM build_queue q JOIN build_queue o ON (o.queue_key, o.build_id) < (q.queue_key, q.build_id)
WHERE q.build_id = $1::uuid AND NOT o.parked AND o.not_before <= now()
GROUP BY o.class
