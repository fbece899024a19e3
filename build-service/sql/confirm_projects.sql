-- The first applied request of a project makes it permanent. Before projects are read: afterwards they are either permanent or gone.
-- Its version and its updated_at, which are shown, stay: gateways are told which project, for they would not find it by these.
-- $1 ids
UPDATE projects SET provisional_build = NULL WHERE id = ANY ($1::uuid[]) AND provisional_build IS NOT NULL
RETURNING pg_notify('kiln_caches', id::text || ' ' || name) AS told
