-- Revoked, if the caller may see it: as in token-list. Gateways are told.
UPDATE api_tokens
SET revoked_at = now(), updated_at = now()
WHERE id = $1::uuid AND revoked_at IS NULL
	AND ($2::jsonb IS NULL OR to_jsonb(scopes) <@ $2::jsonb)
	AND ($3::jsonb IS NULL OR to_jsonb(projects) <@ $3::jsonb)
RETURNING encode(hash, 'hex') AS hash, pg_notify('kiln_caches', '') AS told
