-- The same lock, waited for (up to lock_timeout).
SELECT pg_advisory_lock(7739836656150734706);
