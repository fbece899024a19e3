-- The builds from before 0011_lists.sql come into the lists. It takes as long as there are builds: meanwhile build_audit can be read, not written (no
-- build service runs, see there). Its statements may be run again, by hand and with all build services stopped: they add what is missing and
-- nothing else, for instance the builds that a build service of an older version has ended after all.

UPDATE build_audit b
SET template = r.spec ->> 'template', asked_branch = r.spec ->> 'branch'
FROM build_requests r
WHERE r.build_id = b.id AND r.spec IS NOT NULL AND coalesce(r.spec ->> 'template', r.spec ->> 'branch') IS NOT NULL
	AND coalesce(b.template, b.asked_branch) IS NULL;
INSERT INTO ended_builds (project_id, list, status, class, created_at, build_id)
SELECT project_id, list, status, class, created_at, id
FROM build_audit CROSS JOIN LATERAL kiln_build_lists(coalesce(branch, asked_branch), template, result ->> 'commit_sha') AS list
WHERE finished_at IS NOT NULL
ON CONFLICT DO NOTHING;

-- The builds that tokens posted, in order: one index, for every build pays for it. Those of one token are picked out of a bounded part of it at a time.
CREATE INDEX IF NOT EXISTS build_audit_posted ON build_audit (created_at, id) WHERE owner IS NOT NULL;
