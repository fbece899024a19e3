-- lock_builds.sql for who must not wait: which of them are locked. What is read after it of these is what the last writer committed.
-- $1 ids
SELECT id FROM build_audit WHERE id = ANY ($1::uuid[]) ORDER BY id FOR UPDATE SKIP LOCKED
