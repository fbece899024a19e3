-- The workers that a match chose: nothing frees their attempts or replaces their incarnation until it has committed.
-- $1 ids
SELECT id, incarnation, nonce, state, read_offset >= read_until AS caught_up FROM workers WHERE id = ANY ($1::uuid[]) ORDER BY id FOR SHARE
