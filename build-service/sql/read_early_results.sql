-- Results that waited for these builds.
-- $1 ids
SELECT build_id, ce_id, type, data FROM early_results WHERE build_id = ANY ($1::uuid[]) ORDER BY received_at
