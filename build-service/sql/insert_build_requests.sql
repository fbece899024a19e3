-- What new builds were asked for.
INSERT INTO build_requests (build_id, spec, git)
SELECT build_id, spec, git FROM unnest($1::uuid[], $2::json[], $3::json[]) AS new (build_id, spec, git)
