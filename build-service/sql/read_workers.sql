-- The locked workers.
-- $1 ids
SELECT id, state, incarnation, nonce, drain_requested FROM workers WHERE id = ANY ($1::uuid[])
