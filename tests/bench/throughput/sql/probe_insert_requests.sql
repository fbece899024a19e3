-- $1 ids, $2 specs
INSERT INTO build_requests (build_id, spec, git)
SELECT build_id, spec, '{}' FROM unnest($1::uuid[], $2::json[]) AS new (build_id, spec)
