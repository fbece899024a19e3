-- verify-audit: what each build's row says about the end of its trail.
DECLARE audit_builds NO SCROLL CURSOR FOR
SELECT id AS build_id, last_sequence, encode(last_hash, 'hex') AS last_hash, status IN ('completed', 'failed', 'cancelled') AS ended
FROM build_audit
ORDER BY id
