-- How far the request partitions were applied.
SELECT partition, next_offset
FROM consumer_offsets
WHERE consumer = 'kiln-build-service' AND topic = 'kiln.build.requests'
