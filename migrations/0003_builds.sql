-- Build state. Written by the build service only.
--
-- Three rules shape these tables:
--  * build_audit is updated four to six times a build, so none of its indexed columns ever changes: all of its updates are HOT. What does
--    change and must be found fast has a slim table of its own (build_queue) or a flag that changes once (build_attempts.held).
--  * No foreign keys inside of this file: the one writer holds the build's row lock whenever it inserts, and a check for each row would cost
--    as much as the insert.
--  * JSON that is only stored and handed on is `json`, which keeps the bytes; nothing here is queried by its content.

CREATE TABLE build_audit (
	id uuid PRIMARY KEY,
	project_id uuid NOT NULL,
	project_name text NOT NULL,     -- as it was at the POST
	owner uuid,                     -- the token that posted it

	status text NOT NULL,
	phase text,
	cancel_requested boolean NOT NULL DEFAULT false,

	-- The fencing token of the current attempt; lease_id is NULL while no worker has one.
	attempt integer NOT NULL DEFAULT 0,
	lease_id uuid,
	worker_id uuid,
	attempts_used integer NOT NULL DEFAULT 0, -- accepted attempts that ended by themselves: what max_attempts limits
	losses integer NOT NULL DEFAULT 0,        -- attempts lost with their worker: their own limit
	mass_losses integer NOT NULL DEFAULT 0,   -- losses that hit several attempts of a worker at once and did not count
	max_attempts integer NOT NULL,

	class text NOT NULL,            -- agent provider, then the sorted labels: "command", "command,gpu,linux"
	priority smallint NOT NULL,
	queue_timeout_s integer NOT NULL,
	settling boolean NOT NULL DEFAULT false, -- it reached `pushing` and may end without a commit only through a settling attempt
	settle_end json,                -- {status, error} it ends with when nothing was published
	settle_since timestamptz,

	base_sha text,                  -- the branch tip that the first attempt started from
	pushing_seen boolean NOT NULL DEFAULT false,
	branch text,                    -- as resolved by the worker; NULL: no attempt has recorded its base yet

	callback_url text,              -- the spec's
	request_hash bytea,             -- SHA-256 of the POST's canonical body, for Idempotency-Key
	metadata text NOT NULL DEFAULT '{}', -- canonical JSON, as in every event
	retry_of uuid,
	traceparent text,
	result json,
	error_class text,

	-- The trail's end. Whoever writes a trail row locks this row first.
	last_sequence integer NOT NULL DEFAULT 0,
	last_hash bytea NOT NULL DEFAULT decode(repeat('00', 32), 'hex'),

	created_at timestamptz NOT NULL,
	queued_at timestamptz,
	started_at timestamptz,
	finished_at timestamptz,
	updated_at timestamptz NOT NULL DEFAULT now(),

	CONSTRAINT build_audit_status CHECK (
		(phase IN ('queued', 'assigned') AND status = 'pending')
		OR (phase IN ('preparing', 'agent', 'committing', 'pushing') AND status = 'running')
		OR (phase IS NULL AND status IN ('completed', 'failed', 'cancelled')))
) WITH (fillfactor = 40); -- room on the row's page for its later versions: with 70 a quarter of the updates were not HOT and cost twice as much
-- What a build was asked for: written once, read when it is assigned or shown. Apart from build_audit, whose every update would copy it.
CREATE TABLE build_requests (
	build_id uuid PRIMARY KEY,
	spec json,                      -- NULL: not legible
	git json
);
GRANT SELECT, INSERT, DELETE ON build_requests TO kiln_build_service; -- the other tables: 0009_grants.sql

CREATE INDEX build_audit_project ON build_audit (project_id, created_at DESC, id DESC);

-- The builds that want a slot: queued ones, and those that wait to be settled. A row comes when a build begins to wait and goes when it is
-- assigned or ends.
CREATE TABLE build_queue (
	build_id uuid PRIMARY KEY,
	project_id uuid NOT NULL,
	class text NOT NULL,            -- build_audit.class, or "*" for a settling attempt (any slot with git)
	queue_key timestamptz NOT NULL, -- created_at minus priority × 5 minutes ("ages one level every five minutes"); -infinity when settling
	not_before timestamptz NOT NULL DEFAULT '-infinity',
	deadline timestamptz,           -- queue_timeout_s from when it became queued; NULL when settling
	-- Dispatch met it when its project was full: it waits in its project's queue, where it is in nobody's way, until it is assigned.
	parked boolean NOT NULL DEFAULT false,
	queued_at timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX build_queue_order ON build_queue (class, queue_key, build_id) WHERE NOT parked;
CREATE INDEX build_queue_parked ON build_queue (class, project_id, queue_key, build_id) WHERE parked;
CREATE INDEX build_queue_deadline ON build_queue (deadline);

CREATE TABLE build_attempts (
	build_id uuid NOT NULL,
	attempt integer NOT NULL,
	lease_id uuid NOT NULL,
	worker_id uuid NOT NULL,
	incarnation bigint NOT NULL,
	nonce uuid NOT NULL,
	mode text NOT NULL CHECK (mode IN ('run', 'settle')),
	-- assigned → accepted → finished; either → lost.
	state text NOT NULL CHECK (state IN ('assigned', 'accepted', 'finished', 'lost')),
	held boolean NOT NULL,       -- takes a slot: assigned or accepted. Its own column, so that an accept changes no index
	phase text,
	commit_sha text,             -- announced before the push
	assigned_at timestamptz NOT NULL DEFAULT now(),
	accepted_at timestamptz,
	ended_at timestamptz,
	end_reason text,             -- completed, failed, cancelled, accept_timeout, lease_expired, worker_restarted, not_held
	PRIMARY KEY (build_id, attempt),
	CHECK (held = (state IN ('assigned', 'accepted')))
) WITH (fillfactor = 50);
CREATE INDEX build_attempts_held ON build_attempts (worker_id) WHERE held;

-- The builds that have not ended: each waits in the queue or is held by a worker.
CREATE VIEW active_builds AS
	SELECT build_id FROM build_queue
	UNION ALL
	SELECT build_id FROM build_attempts WHERE held;

CREATE TABLE build_events (
	build_id uuid NOT NULL,
	sequence integer NOT NULL CHECK (sequence >= 1),
	type text NOT NULL,
	time timestamptz NOT NULL,
	attempt integer NOT NULL,
	body bytea NOT NULL,         -- the exact bytes that were hashed and published (RFC 8785)
	hash bytea NOT NULL,
	PRIMARY KEY (build_id, sequence)
);
CREATE UNIQUE INDEX build_events_one_terminal ON build_events (build_id)
	WHERE type IN ('build.completed', 'build.failed', 'build.cancelled');

-- One row per record of kiln.build.logs. A line's public sequence is attempt × 2^32 + its number within the attempt (from 1): it needs no counter and a repeated
-- record lands on its own key.
CREATE TABLE build_logs (
	build_id uuid NOT NULL,
	attempt integer NOT NULL,
	first_line bigint NOT NULL,
	line_count integer NOT NULL,
	lines bytea NOT NULL,        -- [{"time","stream","text"}, …] as JSON
	stored_at timestamptz NOT NULL DEFAULT now(),
	PRIMARY KEY (build_id, attempt, first_line)
);
CREATE INDEX build_logs_retention ON build_logs USING brin (stored_at);

CREATE TABLE workers (
	id uuid PRIMARY KEY,
	partition smallint NOT NULL,        -- of kiln.worker.events: whose owner minds its leases
	incarnation bigint NOT NULL,
	nonce uuid NOT NULL,
	-- lost: its leases ran out; a heartbeat of the same incarnation brings it back. gone: it said goodbye.
	state text NOT NULL CHECK (state IN ('active', 'draining', 'lost', 'gone')),
	slots integer NOT NULL,
	labels text[] NOT NULL DEFAULT '{}',
	agents text[] NOT NULL DEFAULT '{}',
	hostname text,
	version text,
	sandbox text,
	read_offset bigint NOT NULL,        -- of its assignments partition, by the last heartbeat
	read_until bigint NOT NULL DEFAULT 0, -- gets nothing before read_offset has reached it (after a missed accept)
	hello_at timestamptz NOT NULL,
	heartbeat_at timestamptz NOT NULL
) WITH (fillfactor = 50);

-- Concurrency of a project: n ≤ its limit at claim time; a row lives as long as the attempt's claim.
CREATE TABLE project_slots (
	project_id uuid NOT NULL,
	n integer NOT NULL,
	build_id uuid NOT NULL UNIQUE,
	PRIMARY KEY (project_id, n)
);

-- Results that came before their build's request (another topic, no order between them). Applied with the request, dropped after a day.
CREATE TABLE early_results (
	build_id uuid NOT NULL,
	ce_id text NOT NULL,
	type text NOT NULL,
	data json NOT NULL,
	received_at timestamptz NOT NULL DEFAULT clock_timestamp(),
	PRIMARY KEY (build_id, ce_id)
);
CREATE INDEX early_results_age ON early_results (received_at);

GRANT SELECT, INSERT, UPDATE, DELETE ON build_queue TO kiln_build_service; -- the other tables: 0009_grants.sql
