-- Locks workers in the order of their ids. Before any build: dispatch does the same (docs/protocol.md section 2, lock order).
-- $1 ids
SELECT count(*) FROM (SELECT 1 FROM workers WHERE id = ANY ($1::uuid[]) ORDER BY id FOR UPDATE) AS locked
