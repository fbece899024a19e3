-- 0020's view, each build by its keys: whatever the statistics said, the outbox was read once for every build that was looked at, by its topic alone, and all that
-- waits and is held by filter.
CREATE OR REPLACE VIEW prunable_builds AS
	SELECT id, owner, created_at, finished_at
	FROM build_audit b
	WHERE phase IS NULL AND finished_at IS NOT NULL
		AND NOT EXISTS (SELECT FROM build_queue q WHERE q.build_id = b.id OFFSET 0)
		AND NOT EXISTS (SELECT FROM build_attempts a WHERE a.build_id = b.id AND (a.held OR false) OFFSET 0) -- not by the index of all that are held
		AND id <> ALL (ARRAY(SELECT unnest(build_ids) FROM outbox WHERE build_ids IS NOT NULL))
		AND NOT EXISTS (SELECT FROM outbox o WHERE o.topic = 'kiln.build.events' AND o.key = b.id::text OFFSET 0);
