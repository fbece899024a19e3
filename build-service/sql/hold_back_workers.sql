-- Workers that missed an accept get nothing more before they have read this far.
-- $1 ids, $2 end offsets of their assignments partitions
UPDATE workers w SET read_until = greatest(w.read_until, new.read_until)
FROM unnest($1::uuid[], $2::bigint[]) AS new (id, read_until)
WHERE w.id = new.id
