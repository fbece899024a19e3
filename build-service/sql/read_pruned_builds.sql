-- Which of these builds were there once and were pruned.
-- $1 ids
SELECT build_id FROM pruned_builds WHERE build_id = ANY ($1::uuid[])
