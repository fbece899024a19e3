-- Retention (DESIGN.md, Postgres): what is too old is found along an index, whatever else is there.

-- The builds that may go once they are old enough. Not: one that has not ended, waits or holds a slot; one of
-- which an event is not published, for the outbox only names it (0015_outbox_names.sql). Who removes a build locks its row first, as all who write an event, and looks then.
CREATE VIEW prunable_builds AS
	SELECT id, owner, created_at, finished_at
	FROM build_audit b
	WHERE phase IS NULL AND finished_at IS NOT NULL
		AND NOT EXISTS (SELECT FROM active_builds a WHERE a.build_id = b.id)
		AND id <> ALL (ARRAY(SELECT unnest(build_ids) FROM outbox WHERE build_ids IS NOT NULL))
		AND NOT EXISTS (SELECT FROM outbox o WHERE o.topic = 'kiln.build.events' AND o.key = b.id::text);

-- The builds of tokens are found along build_audit_posted; these are the others, so that an ordinary build pays for neither.
CREATE INDEX build_audit_unposted ON build_audit (created_at, id) WHERE owner IS NULL;

CREATE INDEX build_logs_stored ON build_logs (stored_at);

CREATE INDEX webhook_deliveries_created ON webhook_deliveries (created_at);

GRANT SELECT ON active_builds, prunable_builds TO kiln_build_service;
GRANT SELECT, DELETE ON audit_log TO kiln_build_service;

-- A BRIN index finds what is old by ranges of pages, which holds only until their space is used again; then it finds everything. Last, for it locks out
-- even those who read logs, until the commit: not while an index is made.
DROP INDEX build_logs_retention;
