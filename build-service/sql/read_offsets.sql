-- How far each partition was applied, by whichever instance.
-- $1 consumer
SELECT topic, partition, next_offset FROM consumer_offsets WHERE consumer = $1
