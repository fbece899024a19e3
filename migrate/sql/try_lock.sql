-- One kiln-migrate at a time in a database. The number is "kilnmigr" in ASCII; it belongs to the session and goes with it.
SELECT pg_try_advisory_lock(7739836656150734706) AS locked;
