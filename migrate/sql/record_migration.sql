-- In the migration's own transaction.
INSERT INTO schema_migrations (name, checksum) VALUES ($1, decode($2, 'hex'));
