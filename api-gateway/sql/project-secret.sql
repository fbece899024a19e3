-- The webhook secret of a project that is not permanent yet, for the token ($2) that made it; nothing for others. Who made it says the audit's row, which
-- was committed with the project's.
SELECT encode(webhook_secret, 'hex') AS secret
FROM projects
WHERE id = $1::uuid AND provisional_build IS NOT NULL AND EXISTS (SELECT 1 FROM audit_log WHERE resource = $1::text AND token_id = $2::uuid AND outcome = 'created')
