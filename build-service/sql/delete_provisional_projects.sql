-- Still provisional, with all requests applied that could have changed it: the build will not come. Gateways are told which: no row
-- is left that would show it to them.
-- $1 projects, $2 their builds
DELETE FROM projects p USING unnest($1::uuid[], $2::uuid[]) AS old (id, build_id)
WHERE p.id = old.id AND p.provisional_build = old.build_id
	AND NOT EXISTS (SELECT 1 FROM build_audit b WHERE b.id = old.build_id)
RETURNING p.name, pg_notify('kiln_caches', p.id::text || ' ' || p.name) AS told
