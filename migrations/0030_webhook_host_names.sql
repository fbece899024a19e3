-- A host is the same however its URL is spelled. By 0025's function each spelling of a host's name was a host by itself, and had its own share of what the
-- notifier has under way: it took what stands between :// and the path. Its index is made anew, because what the function told is in it; webhooks wait meanwhile.

-- Before the function is another one: no session may look into the old index by it.
DROP INDEX webhook_deliveries_host;

-- In lower case, without a dot at its end, and with a port only if it is another one than the scheme's; an IPv6 address with its brackets. '?': no URL, which
-- the first attempt finds out. What a callback_url may be (common/http/address_url.c) has no user information and no percent-encoding there.
CREATE OR REPLACE FUNCTION kiln_webhook_host(url text) RETURNS text LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
	SELECT coalesce(
		substring(lower(url) FROM '^https?://(\[[^]/?#]*\]|[^/?#:]*[^/?#:.])')
		|| coalesce(
			':' || nullif(
				nullif(ltrim(substring(url FROM '^[^:]*://[^/?#]*:([0-9]+)(?:[/?#]|$)'), '0'), ''),
				CASE WHEN starts_with(lower(url), 'https:') THEN '443' ELSE '80' END
			), ''
		), '?'
	)
$$;

CREATE INDEX webhook_deliveries_host ON webhook_deliveries (kiln_webhook_host(url), next_attempt_at) WHERE state = 'pending';
