-- Where the consumer $1 goes on in each partition.
SELECT topic, partition, next_offset, last_ce_id, cluster_id FROM consumer_offsets WHERE consumer = $1
