-- The deployment's secret.
SELECT encode(secret, 'hex') AS secret
FROM deployment
