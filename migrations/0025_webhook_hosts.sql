-- What waits for each host in order, so that the notifier gets past a host that has as much under way as it may, however much waits for that one
-- (notifier/sql/claim.sql). An index on what the URL tells, instead of a column: nothing is written anew, and only what is pending is in it. While it is
-- made deliveries can be read, not written, as in 0014_audit_token.sql.

-- What stands between :// and the path, so a port counts. '?': no URL, which the first attempt finds out.
CREATE FUNCTION kiln_webhook_host(url text) RETURNS text LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
	SELECT coalesce(substring(lower(url) FROM '^https?://([^/?#]+)'), '?')
$$;

CREATE INDEX webhook_deliveries_host ON webhook_deliveries (kiln_webhook_host(url), next_attempt_at) WHERE state = 'pending';
