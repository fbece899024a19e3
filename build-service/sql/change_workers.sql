-- Draining, its wish, bye, or an expired lease: nothing else changes.
-- $1 ids, $2 states, $3 is a drain wished
UPDATE workers w SET state = new.state, drain_requested = new.drain_requested
FROM unnest($1::uuid[], $2::text[], $3::boolean[]) AS new (id, state, drain_requested)
WHERE w.id = new.id
