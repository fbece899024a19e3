-- One match at a time in the whole deployment. Waited for in a statement of its own, so that what follows sees every change committed before the wait was over
-- (docs/protocol.md section 6).
SELECT pg_advisory_xact_lock(hashtext('kiln.match'))
