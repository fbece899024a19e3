-- match_try_lock.sql for a transaction of one round trip, which fails when somebody else has the lock.
SELECT kiln_expect(pg_try_advisory_xact_lock(hashtext('kiln.match'))::integer, 1, 'KN003', 'a match is under way')
