-- Removes the builds $1, whose rows are locked, with all that there is of them, when they may still go: ended more than $2 days ago. Whose POST had a key
-- (UUIDv8) leaves its id and hash. All or nothing of a build goes, so its trail is whole for whoever looks meanwhile.
WITH may_go AS MATERIALIZED (
	SELECT id FROM prunable_builds WHERE id = ANY ($1::uuid[]) AND finished_at < now() - $2::integer * interval '1 day'
), old AS MATERIALIZED (
	DELETE FROM build_audit AS b USING may_go WHERE b.id = may_go.id
	RETURNING b.id, b.project_id, b.status, b.class, b.created_at, coalesce(b.branch, b.asked_branch) AS branch, b.template,
		b.result ->> 'commit_sha' AS commit_sha, b.request_hash
), remembered AS (
	INSERT INTO pruned_builds (build_id, request_hash)
	SELECT id, request_hash FROM old WHERE substr(id::text, 15, 1) = '8'
	ON CONFLICT DO NOTHING
), listed AS MATERIALIZED (
	SELECT old.*, list FROM old CROSS JOIN LATERAL kiln_build_lists(branch, template, commit_sha) AS list
), lists AS (
	DELETE FROM ended_builds AS e USING listed
	WHERE e.project_id = listed.project_id AND e.list = listed.list AND e.status = listed.status AND e.class = listed.class
		AND e.created_at = listed.created_at AND e.build_id = listed.id
), requests AS (
	DELETE FROM build_requests AS r USING old WHERE r.build_id = old.id
), attempts AS (
	DELETE FROM build_attempts AS a USING old WHERE a.build_id = old.id
), events AS (
	DELETE FROM build_events AS e USING old WHERE e.build_id = old.id
), logs AS (
	DELETE FROM build_logs AS l USING old WHERE l.build_id = old.id
)
SELECT count(*) AS removed FROM old
