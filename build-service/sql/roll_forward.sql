-- Builds that were made again by their requests after a restore get the trails that were published of them (migrations/0022_restore.sql). Some at a time: without hash
-- joins, which our sessions do without, the function compares each of its builds with each event.
-- $1 ids
SELECT kiln_roll_forward(array_agg(id))
FROM unnest($1::uuid[]) WITH ORDINALITY AS made (id, n)
GROUP BY (n - 1) / 25
