-- Builds that do not wait any more. The locking of their build_audit rows orders this with every other writer.
-- $1 ids
DELETE FROM build_queue WHERE build_id = ANY ($1::uuid[])
