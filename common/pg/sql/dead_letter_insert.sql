-- A record that could not be applied, as it was. There already: the partition was rewound and read again.
INSERT INTO dead_letters (consumer, topic, partition, record_offset, key, headers, value, reason, sqlstate)
VALUES ($1, $2, $3::integer, $4::bigint, $5::bytea, $6::jsonb, $7::bytea, $8, $9)
ON CONFLICT DO NOTHING
