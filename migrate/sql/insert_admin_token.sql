-- The hash of a token that is in the file. A revoked one stays revoked.
INSERT INTO api_tokens (id, name, hash, scopes) VALUES ($1::uuid, 'kiln-migrate', decode($2, 'hex'), ARRAY['admin'])
ON CONFLICT (hash) DO NOTHING;
