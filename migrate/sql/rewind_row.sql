-- rewind: consumer $1 reads partition $3 of topic $2 from $5 on, of cluster $6, unless an inbox has gone on from $4 meanwhile. No record before it to be compared: its place
-- is the log's start. $7: the log is another one than it was. An end that a restore has noted for it is forgotten then, and so is one that was reached: of the new
-- log it says nothing, and dispatch would wait for it (unapplied_logs).
WITH forgotten AS (
	DELETE FROM restored_logs
	WHERE $1 = 'kiln-build-service' AND topic = $2 AND partition = $3 AND (end_offset <= $4 OR $7::boolean)
)
UPDATE consumer_offsets
SET next_offset = $5, last_ce_id = NULL, cluster_id = $6, updated_at = now()
WHERE consumer = $1 AND topic = $2 AND partition = $3 AND next_offset = $4
