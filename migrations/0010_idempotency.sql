-- Idempotency-Key (CONTRACT.md).

-- What a build leaves behind when it is pruned, if it was posted with a key (its id is a UUIDv8): repeating the POST makes no second one.
CREATE TABLE pruned_builds (
	build_id uuid PRIMARY KEY,
	request_hash bytea,          -- build_audit's
	pruned_at timestamptz NOT NULL DEFAULT now()
);

-- POSTs that start no build, by key, for 24 h: a row is committed with what its request did.
CREATE TABLE idempotency_keys (
	id bytea PRIMARY KEY,        -- HMAC-SHA-256(deployment.secret; owner, route, path parameter, key): the key itself is not kept
	request_hash bytea NOT NULL, -- SHA-256 of the body
	answer bytea NOT NULL,       -- sealed with the caller's token: an answer may hold secrets that are shown once
	created_at timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX idempotency_keys_age ON idempotency_keys (created_at);

GRANT SELECT ON pruned_builds TO kiln_gateway;
GRANT SELECT, INSERT, DELETE ON pruned_builds TO kiln_build_service;
GRANT SELECT, INSERT, UPDATE, DELETE ON idempotency_keys TO kiln_gateway;
