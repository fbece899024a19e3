-- Requests with the same Idempotency-Key wait for each other: until the end of the transaction.
SELECT pg_advisory_xact_lock(('x' || left($1, 16))::bit(64)::bigint)
