-- Locks the rows of builds in the order of their ids, in a statement of its own: what is read after it is what the last writer committed.
-- $1 ids
SELECT count(*) FROM (SELECT 1 FROM build_audit WHERE id = ANY ($1::uuid[]) ORDER BY id FOR UPDATE) AS locked
