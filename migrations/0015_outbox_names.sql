-- The events of builds are in the trail with the bytes that are published, so the outbox only names them: one row for a transaction and shard instead
-- of one for each event, and no body twice. Rows from before stay as they are and are relayed in the order of their ids, like all others.
--
-- Whoever prunes a build: its row is locked first (as by everybody who writes an event), and it stays while the outbox names it. The relay publishes
-- nothing of a build of which an event is missing, and says so.
ALTER TABLE outbox
	ALTER COLUMN key DROP NOT NULL,
	ALTER COLUMN sequence DROP NOT NULL,
	ALTER COLUMN ce_id DROP NOT NULL,
	ALTER COLUMN type DROP NOT NULL,
	ALTER COLUMN body DROP NOT NULL,
	-- Of each build the events first to last; a build stands in one row of a transaction. UNIQUE (topic, key, sequence) is build_events' primary key then.
	ADD COLUMN build_ids uuid[],
	ADD COLUMN first_sequences integer[],
	ADD COLUMN last_sequences integer[],
	ADD COLUMN events integer NOT NULL DEFAULT 1, -- that this row publishes
	ADD COLUMN bytes bigint, -- of the named events' bodies
	ADD CONSTRAINT outbox_kind CHECK (
		CASE WHEN build_ids IS NULL
			THEN num_nulls(key, sequence, ce_id, type, body) = 0 AND num_nonnulls(first_sequences, last_sequences, bytes) = 0 AND events = 1
			ELSE num_nonnulls(key, sequence, ce_id, type, hash, traceparent, record, body) = 0 AND num_nulls(first_sequences, last_sequences, bytes) = 0
				AND cardinality(build_ids) BETWEEN 1 AND events
				AND cardinality(first_sequences) = cardinality(build_ids) AND cardinality(last_sequences) = cardinality(build_ids)
		END);
