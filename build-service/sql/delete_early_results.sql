-- Applied now. By their own keys: while they are, another instance may put results of the same builds beside them, which nobody has read yet.
-- $1 builds, $2 their results' ce_ids
DELETE FROM early_results e USING unnest($1::uuid[], $2::text[]) AS applied (build_id, ce_id)
WHERE e.build_id = applied.build_id AND e.ce_id = applied.ce_id
