-- The locked workers.
-- $1 ids
SELECT id, state, incarnation, nonce FROM workers WHERE id = ANY ($1::uuid[])
