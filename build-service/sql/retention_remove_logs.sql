-- Removes the 500 oldest log records that were stored more than $1 days ago, but none of a build that has not ended.
WITH old AS MATERIALIZED (
	SELECT build_id, attempt, first_line FROM build_logs AS l
	WHERE stored_at < now() - $1::integer * interval '1 day'
		AND NOT EXISTS (SELECT FROM build_queue q WHERE q.build_id = l.build_id OFFSET 0)
		AND NOT EXISTS (SELECT FROM build_attempts a WHERE a.build_id = l.build_id AND (a.held OR false) OFFSET 0) -- not by the index of all that are held
	ORDER BY stored_at LIMIT 500
), removed AS (
	DELETE FROM build_logs AS l USING old
	WHERE l.build_id = old.build_id AND l.attempt = old.attempt AND l.first_line = old.first_line
	RETURNING 1
)
SELECT count(*) AS removed FROM removed
