-- Admin tokens that are good now.
SELECT count(*) AS count FROM api_tokens
WHERE 'admin' = ANY (scopes) AND revoked_at IS NULL AND (expires_at IS NULL OR expires_at > now());
