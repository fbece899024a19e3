-- A new project; nothing when the name is taken.
INSERT INTO projects (id, name, git_url, branch, credential, concurrency, agent, settings, webhook_secret, provisional_build, network, last_sequence)
VALUES ($1::uuid, $2, $3, $4, $5, $6::int, $7::jsonb, $8::jsonb, decode($9, 'hex'), $10::uuid, $11::jsonb, 1)
ON CONFLICT (name) WHERE deleted_at IS NULL DO NOTHING
RETURNING id, name, git_url, branch, credential, concurrency, agent::text AS agent, network::text AS network, settings::text AS settings, version, last_sequence,
	provisional_build, false AS deleted, to_char(created_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"') AS created_at, to_char(updated_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"') AS updated_at
