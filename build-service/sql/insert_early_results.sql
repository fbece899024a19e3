-- Results of builds that are not known yet.
INSERT INTO early_results (build_id, ce_id, type, data)
SELECT build_id, ce_id, type, data FROM unnest($1::uuid[], $2::text[], $3::text[], $4::json[]) AS new (build_id, ce_id, type, data)
ON CONFLICT DO NOTHING
