-- rewind: consumer $1 reads partition $3 of topic $2 from $5 on, of cluster $6, unless an inbox has gone on from $4 meanwhile. No record before it to be compared: its place
-- is the log's start.
UPDATE consumer_offsets
SET next_offset = $5, last_ce_id = NULL, cluster_id = $6, updated_at = now()
WHERE consumer = $1 AND topic = $2 AND partition = $3 AND next_offset = $4
