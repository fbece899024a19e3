-- As insert_trail.sql names events: one row for each shard.
-- $1 ids, $2 first sequence, $3 last
INSERT INTO outbox (shard, topic, source, time, build_ids, first_sequences, last_sequences, events, bytes)
SELECT
	n % 12, 'kiln.build.events', '/kiln/build-service', now()::text, array_agg(id), array_agg($2::integer), array_agg($3::integer),
	sum($3::integer - $2::integer + 1), 1000
FROM unnest($1::uuid[]) WITH ORDINALITY AS new (id, n)
GROUP BY n % 12
