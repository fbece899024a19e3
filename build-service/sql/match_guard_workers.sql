-- Fails the transaction unless the workers that it chose are what they were, and keeps them so until it has committed. A row that somebody else has locked counts as
-- changed: nobody waits here.
-- $1 ids, $2 incarnations, $3 nonces
WITH standing AS (
	SELECT 1
	FROM workers w JOIN unnest($1::uuid[], $2::bigint[], $3::uuid[]) AS chosen (id, incarnation, nonce)
		ON w.id = chosen.id AND w.incarnation = chosen.incarnation AND w.nonce = chosen.nonce
	WHERE w.state = 'active' AND w.read_offset >= w.read_until
	FOR SHARE OF w SKIP LOCKED
)
SELECT kiln_expect((SELECT count(*) FROM standing), cardinality($1::uuid[]), 'KN002', 'a worker that was chosen has changed')
