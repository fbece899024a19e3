-- Draining, bye, or an expired lease: only the state changes.
-- $1 ids, $2 states
UPDATE workers w SET state = new.state
FROM unnest($1::uuid[], $2::text[]) AS new (id, state)
WHERE w.id = new.id
