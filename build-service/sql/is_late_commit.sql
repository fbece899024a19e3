-- Does a build's end, or an event after it, know of this commit already?
-- $1 build, $2 commit
SELECT
	coalesce(b.result ->> 'commit_sha' = $2::text, false)
	OR EXISTS (
		SELECT 1 FROM build_events e
		WHERE e.build_id = b.id AND e.type = 'build.late_commit' AND position($2::text IN convert_from(e.body, 'UTF8')) > 0) AS known
FROM build_audit b WHERE b.id = $1::uuid
