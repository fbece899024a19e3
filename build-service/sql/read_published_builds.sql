-- Those of these builds whose trails were published, which a restore keeps until their requests are read again (migrations/0022_restore.sql).
-- $1 ids
SELECT DISTINCT build_id FROM restored_events WHERE build_id = ANY ($1::uuid[])
