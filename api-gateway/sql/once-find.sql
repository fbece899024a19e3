-- What a request with the key $1 (hex) has done, if it is not older than a day.
SELECT encode(request_hash, 'hex') AS hash, encode(answer, 'hex') AS answer
FROM idempotency_keys
WHERE id = decode($1, 'hex') AND created_at > now() - interval '24 hours'
