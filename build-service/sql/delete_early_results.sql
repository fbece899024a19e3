-- Applied now.
-- $1 ids
DELETE FROM early_results WHERE build_id = ANY ($1::uuid[])
