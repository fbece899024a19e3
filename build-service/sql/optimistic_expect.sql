-- Fails the transaction unless all that it was decided by still holds. Under the match's lock, which an earlier statement has got.
-- $1 the new builds, $2 their projects, $3 workers that get some, $4 their incarnations, $5 nonces, $6 how many each gets, $7 milliseconds that "lately" means (as in
-- match_workers.sql)
WITH standing AS (
	SELECT 1
	FROM workers w JOIN unnest($3::uuid[], $4::bigint[], $5::uuid[], $6::integer[]) AS chosen (id, incarnation, nonce, builds)
		ON w.id = chosen.id AND w.incarnation = chosen.incarnation AND w.nonce = chosen.nonce
	WHERE w.state = 'active' AND w.heartbeat_at > now() - $7::integer * interval '1 millisecond' AND w.read_offset >= w.read_until
		AND w.slots - (SELECT count(*) FROM build_attempts a WHERE a.held AND a.worker_id = w.id) >= chosen.builds
)
SELECT
	kiln_expect((SELECT count(*) FROM standing), cardinality($3::uuid[]), 'KN003', 'a worker is not what it was, or has no room'),
	kiln_expect(
		(SELECT count(*) FROM (
			SELECT FROM projects WHERE id = ANY ($2::uuid[]) AND deleted_at IS NULL AND concurrency IS NULL AND provisional_build IS NULL
			ORDER BY id FOR KEY SHARE SKIP LOCKED) AS project), -- as in read_projects.sql, but whoever has the match's lock waits for nobody
		(SELECT count(DISTINCT id) FROM unnest($2::uuid[]) AS id), 'KN003', 'a project is not what it was'),
	kiln_expect(
		(SELECT count(*) FROM build_audit WHERE id = ANY ($1::uuid[])) + (SELECT count(*) FROM early_results WHERE build_id = ANY ($1::uuid[])), 0,
		'KN003', 'a build is known already'),
	kiln_expect((SELECT count(*) FROM (SELECT FROM build_queue WHERE NOT parked LIMIT 1) AS waiting), 0, 'KN003', 'somebody waits')
