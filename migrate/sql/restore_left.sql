-- restore: builds whose requests are still to be read again, and trails of which published events are missing.
SELECT
	count(DISTINCT build_id) FILTER (WHERE b.id IS NULL) AS waiting,
	count(DISTINCT build_id) FILTER (WHERE b.id IS NOT NULL) AS broken
FROM restored_events r LEFT JOIN build_audit b ON b.id = r.build_id
