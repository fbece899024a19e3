-- match_lock.sql for who must not wait: see direct.h.
SELECT pg_try_advisory_xact_lock(hashtext('kiln.match')) AS locked
