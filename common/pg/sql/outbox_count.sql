-- Events in rows of the shards $1 that wait to be published; for the metric.
SELECT coalesce(sum(events), 0) AS backlog FROM outbox WHERE shard = ANY ($1::smallint[])
