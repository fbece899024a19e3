-- The builds that a token posted, in order: whose audit is read is found without looking at the builds of others, however many. Every build pays for it
-- (docs/benchmarks.md, list): owner and created_at never change, so no update does. While it is made build_audit can be read, not written, as in
-- 0013_lists_backfill.sql.
CREATE INDEX IF NOT EXISTS build_audit_token ON build_audit (owner, created_at, id) WHERE owner IS NOT NULL;
