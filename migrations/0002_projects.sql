-- What bots own: projects, templates, tokens. Written by the gateway only.

-- One row. The secret keys the ids that come from an Idempotency-Key; the epoch is raised by a restore (PROTOCOL.md section 9).
CREATE TABLE deployment (
	singleton boolean PRIMARY KEY DEFAULT true CHECK (singleton),
	secret bytea NOT NULL CHECK (length(secret) >= 32),
	epoch integer NOT NULL DEFAULT 0,
	created_at timestamptz NOT NULL DEFAULT now()
);

CREATE TABLE projects (
	id uuid PRIMARY KEY,
	name text NOT NULL CHECK (name ~ '^[a-z0-9][a-z0-9-]{0,62}$'),
	git_url text,               -- NULL: KILN_GIT_BASE_URL/{name}.git
	branch text,                -- NULL: the remote's HEAD
	credential text,
	concurrency integer CHECK (concurrency BETWEEN 1 AND 1000), -- NULL: no limit
	agent jsonb,                -- default BuildSpec.agent
	settings jsonb NOT NULL DEFAULT '{}', -- description, labels, metadata: shown as given
	webhook_secret bytea NOT NULL,
	version bigint NOT NULL DEFAULT 1, -- the ETag
	last_sequence bigint NOT NULL DEFAULT 0, -- of kiln.project.events
	provisional_build uuid,     -- create-and-build: set until that build's request was applied
	created_at timestamptz NOT NULL DEFAULT now(),
	updated_at timestamptz NOT NULL DEFAULT now(),
	deleted_at timestamptz
);
-- A name is free again after a DELETE; builds of the deleted project stay readable through its row.
CREATE UNIQUE INDEX projects_name ON projects (name) WHERE deleted_at IS NULL;
CREATE INDEX projects_list ON projects (created_at, id) WHERE deleted_at IS NULL;
CREATE INDEX projects_updated ON projects (updated_at); -- gateways ask each second for what changed
CREATE INDEX projects_provisional ON projects (created_at) WHERE provisional_build IS NOT NULL;

CREATE TABLE templates (
	name text NOT NULL CHECK (name ~ '^[a-z0-9][a-z0-9-]{0,62}$'),
	version integer NOT NULL CHECK (version >= 1),
	text text NOT NULL,
	defaults jsonb NOT NULL DEFAULT '{}',
	description text,
	created_by uuid,
	created_at timestamptz NOT NULL DEFAULT now(),
	PRIMARY KEY (name, version)
);
CREATE INDEX templates_created ON templates (created_at);

CREATE TABLE api_tokens (
	id uuid PRIMARY KEY,
	name text NOT NULL,
	hash bytea NOT NULL UNIQUE,  -- SHA-256 of the token's text: 256 random bits need no salt
	scopes text[] NOT NULL,
	projects text[],             -- names; NULL: all
	max_priority smallint NOT NULL DEFAULT 9 CHECK (max_priority BETWEEN 0 AND 9),
	expires_at timestamptz,
	revoked_at timestamptz,
	created_by uuid,
	created_at timestamptz NOT NULL DEFAULT now(),
	updated_at timestamptz NOT NULL DEFAULT now() -- gateways ask each second for what changed
);
CREATE INDEX api_tokens_updated ON api_tokens (updated_at);
