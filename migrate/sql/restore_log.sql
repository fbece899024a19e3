-- restore: nothing is dispatched before partition $2 of topic $1 was applied up to $3.
INSERT INTO restored_logs (topic, partition, end_offset) VALUES ($1, $2, $3)
