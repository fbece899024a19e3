-- verify-audit: every event, with what its hash must be after the event before it (docs/events.md, Checking a trail). The window runs along the primary key and holds a row.
-- Bodies beyond 1 MiB stay where they are: the hash is what vouches for them.
DECLARE audit_events NO SCROLL CURSOR FOR
SELECT build_id, sequence, type, attempt, encode(hash, 'hex') AS hash,
	encode(sha256(lag(hash, 1, decode(repeat('00', 32), 'hex')) OVER (PARTITION BY build_id ORDER BY sequence) || body), 'hex') AS expected,
	CASE WHEN octet_length(body) <= 1048576 THEN encode(body, 'hex') END AS body
FROM build_events
ORDER BY build_id, sequence
