-- Records of a build's log with lines after line $3 of attempt $2, in order, until they hold $4 such lines (the last one may hold more). A record of no
-- lines (null) stands behind lines that were removed.
SELECT attempt, first_line, line_count, lines
FROM (
	SELECT attempt, first_line, line_count, lines, coalesce(sum(new_lines) OVER earlier, 0) AS lines_before
	FROM (
		(
			SELECT attempt, first_line, line_count, lines,
				CASE WHEN attempt = $2::bigint THEN least(line_count, first_line + line_count - 1 - $3::bigint) ELSE line_count END AS new_lines
			FROM build_logs
			WHERE build_id = $1::uuid AND (attempt, first_line + line_count - 1) > ($2::bigint, $3::bigint)
			ORDER BY attempt, first_line
			LIMIT $4::int
		)
		UNION ALL
		SELECT attempt, last_line + 1, 0, NULL, 0
		FROM build_logs_gone
		WHERE build_id = $1::uuid AND (attempt, last_line) > ($2::bigint, $3::bigint)
	) found
	WINDOW earlier AS (ORDER BY attempt, first_line, line_count ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING)
) counted
WHERE lines_before < $4::bigint
ORDER BY attempt, first_line, line_count
