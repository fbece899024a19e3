-- The first applied request of a project makes it permanent. Before projects are read: afterwards they are either permanent or gone.
-- $1 ids
UPDATE projects SET provisional_build = NULL WHERE id = ANY ($1::uuid[]) AND provisional_build IS NOT NULL
