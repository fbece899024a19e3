-- A consumer reads a topic from its beginning; rows that are there already say how far it is.
INSERT INTO consumer_offsets (consumer, topic, partition, next_offset)
SELECT $1, $2, partition, 0 FROM generate_series(0, $3::integer - 1) AS partition
ON CONFLICT DO NOTHING;
