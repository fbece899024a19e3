-- Deliveries. Written by the notifier only.

CREATE TABLE webhook_deliveries (
	id uuid PRIMARY KEY,
	build_id uuid NOT NULL,
	project_id uuid NOT NULL,
	event_id text NOT NULL,      -- ce_id: the constant webhook-id
	event_type text NOT NULL,
	url text NOT NULL,
	body bytea NOT NULL,         -- {type, timestamp, data}: the same bytes at every attempt
	state text NOT NULL CHECK (state IN ('pending', 'delivered', 'exhausted')),
	attempts integer NOT NULL DEFAULT 0,
	next_attempt_at timestamptz, -- NULL unless pending
	claimed_until timestamptz,   -- an instance has it in flight
	last_status integer,
	last_error text,
	traceparent text,
	created_at timestamptz NOT NULL DEFAULT now(),
	delivered_at timestamptz,
	UNIQUE (event_id, url)
);
CREATE INDEX webhook_deliveries_due ON webhook_deliveries (next_attempt_at) WHERE state = 'pending';
CREATE INDEX webhook_deliveries_build ON webhook_deliveries (build_id);

CREATE TABLE webhook_attempts (
	delivery_id uuid NOT NULL REFERENCES webhook_deliveries ON DELETE CASCADE,
	attempt integer NOT NULL,
	started_at timestamptz NOT NULL,
	duration_ms integer,
	status integer,              -- NULL: no answer
	error text,
	PRIMARY KEY (delivery_id, attempt)
);
