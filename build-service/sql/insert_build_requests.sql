-- What new builds were asked for, and from where.
INSERT INTO build_requests (build_id, spec, git, origin)
SELECT build_id, spec, git, origin FROM unnest($1::uuid[], $2::json[], $3::json[], $4::json[]) AS new (build_id, spec, git, origin)
