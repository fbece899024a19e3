-- Builds that were made again by their requests after a restore get the trails that were published of them (migrations/0022_restore.sql).
-- $1 ids
SELECT kiln_roll_forward($1::uuid[])
