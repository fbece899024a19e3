-- Inbox and outbox (PROTOCOL.md sections 2 and 3).

CREATE TABLE consumer_offsets (
	consumer text NOT NULL,
	topic text NOT NULL,
	partition integer NOT NULL,
	next_offset bigint NOT NULL,
	last_ce_id text,             -- of the record before next_offset: is the log still the one that was read?
	cluster_id text,
	updated_at timestamptz NOT NULL DEFAULT now(),
	PRIMARY KEY (consumer, topic, partition)
) WITH (fillfactor = 50);

-- Fails a statement that did not find all of its rows as expected, and so whatever was sent together with it. Codes of our own begin with KN:
-- KN001 the inbox's offsets have moved, KN002 a worker that a match chose has changed.
CREATE FUNCTION kiln_expect(actual bigint, expected bigint, code text, message text) RETURNS boolean LANGUAGE plpgsql AS $$
BEGIN
	IF actual <> expected THEN
		RAISE EXCEPTION '%', message USING ERRCODE = code;
	END IF;
	RETURN true;
END
$$;

CREATE TABLE outbox (
	id bigint GENERATED ALWAYS AS IDENTITY (CACHE 1) PRIMARY KEY,
	shard smallint NOT NULL,     -- the topic partition of the key
	topic text NOT NULL,
	key text NOT NULL,
	sequence bigint NOT NULL,
	ce_id text NOT NULL,
	type text NOT NULL,
	source text NOT NULL,
	time text NOT NULL,
	hash text,
	traceparent text,
	record jsonb,                -- dead letters only: the record's own key and headers
	body bytea NOT NULL,
	UNIQUE (topic, key, sequence)
);
-- No index on shard: the table is small and read in order of its ids. With one, the plan for "delete these ids" that was made while the table was
-- empty scanned all of it for each id (2 s for 2,000 rows).

CREATE TABLE dead_letters (
	id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
	consumer text NOT NULL,
	topic text NOT NULL,
	partition integer NOT NULL,
	record_offset bigint NOT NULL,
	key bytea,
	headers jsonb NOT NULL DEFAULT '[]',
	value bytea,
	reason text NOT NULL,
	sqlstate text,
	created_at timestamptz NOT NULL DEFAULT now(),
	UNIQUE (consumer, topic, partition, record_offset)
);
