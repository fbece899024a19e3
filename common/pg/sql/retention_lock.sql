-- One instance at a time removes rows of one kind, $1. Tried, not waited for: who does not get it has nothing to do.
SELECT pg_try_advisory_xact_lock(hashtext($1::text)) AS locked
