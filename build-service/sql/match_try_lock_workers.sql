-- match_lock_workers.sql for who must not wait. A row that somebody else has locked is left out: its worker counts as changed.
-- $1 ids
SELECT id, incarnation, nonce, state, read_offset >= read_until AS caught_up FROM workers WHERE id = ANY ($1::uuid[]) ORDER BY id FOR SHARE SKIP LOCKED
