-- rewind: how far each consumer is, in the order in which inboxes lock these rows.
SELECT consumer, topic, partition, next_offset, last_ce_id, cluster_id
FROM consumer_offsets
ORDER BY consumer, topic, partition
