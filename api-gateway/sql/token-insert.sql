-- A new token; its scopes and projects come as JSON arrays.
INSERT INTO api_tokens (id, name, hash, scopes, projects, max_priority, expires_at, created_by)
VALUES ($1::uuid, $2, decode($3, 'hex'), ARRAY(SELECT jsonb_array_elements_text($4::jsonb)),
	CASE WHEN $5::jsonb IS NOT NULL THEN ARRAY(SELECT jsonb_array_elements_text($5::jsonb)) END, $6::smallint, $7::timestamptz, $8::uuid)
RETURNING id, name, encode(hash, 'hex') AS hash, to_json(scopes)::text AS scopes, to_json(projects)::text AS projects, max_priority,
	CASE WHEN isfinite(expires_at) THEN (extract(epoch FROM expires_at) * 1000000)::bigint END AS expires_us,
	to_char(expires_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"') AS expires_at, to_char(created_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"') AS created_at
