-- Log records; a repeated one finds its place taken.
INSERT INTO build_logs (build_id, attempt, first_line, line_count, lines)
SELECT build_id, attempt, first_line, line_count, lines
FROM unnest($1::uuid[], $2::integer[], $3::bigint[], $4::integer[], $5::bytea[]) AS new (build_id, attempt, first_line, line_count, lines)
ON CONFLICT DO NOTHING
