-- A build's status, and how far the log store has applied the log partition $2.
SELECT b.status, o.next_offset
FROM (VALUES (1)) one
LEFT JOIN build_audit b ON b.id = $1::uuid
LEFT JOIN consumer_offsets o ON o.consumer = 'kiln-log-store' AND o.topic = 'kiln.build.logs' AND o.partition = $2::int
