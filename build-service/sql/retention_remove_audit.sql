-- Removes the 1000 oldest entries of the audit log that are older than $1 days. (Those of builds' POSTs go with their builds.)
WITH old AS MATERIALIZED (
	SELECT id FROM audit_log WHERE time < now() - $1::integer * interval '1 day' ORDER BY time, id LIMIT 1000
), removed AS (
	DELETE FROM audit_log AS a USING old WHERE a.id = old.id RETURNING 1
)
SELECT count(*) AS removed FROM removed
