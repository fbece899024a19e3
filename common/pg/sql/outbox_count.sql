-- Rows of the shards $1 that wait to be published; for the metric.
SELECT count(*) AS backlog FROM outbox WHERE shard = ANY ($1::smallint[])
