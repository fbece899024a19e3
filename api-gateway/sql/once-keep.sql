-- Keeps a key, under its lock; an older use of it was outdated.
INSERT INTO idempotency_keys (id, request_hash, answer)
VALUES (decode($1, 'hex'), decode($2, 'hex'), decode($3, 'hex'))
ON CONFLICT (id) DO UPDATE SET request_hash = excluded.request_hash, answer = excluded.answer, created_at = now()
