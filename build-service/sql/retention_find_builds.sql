-- The oldest builds that may go, 100 of each kind: ended more than $1 days ago. A number that the planner knows: with a
-- parameter it takes a sort of everything for cheaper than the walk. The builds of tokens, and those of nobody; each along an index of its own.
-- A build is made before it ends, so the walk begins at the oldest and stops at the age; what it meets there and may not go yet is little.
WITH oldest AS MATERIALIZED (
	(SELECT id FROM prunable_builds
	WHERE owner IS NOT NULL AND created_at < now() - $1::integer * interval '1 day' AND finished_at < now() - $1::integer * interval '1 day'
	ORDER BY created_at, id LIMIT 100)
	UNION ALL
	(SELECT id FROM prunable_builds
	WHERE owner IS NULL AND created_at < now() - $1::integer * interval '1 day' AND finished_at < now() - $1::integer * interval '1 day'
	ORDER BY created_at, id LIMIT 100)
)
SELECT array_agg(id)::text AS ids, count(*) AS found FROM oldest
