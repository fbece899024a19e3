-- restore: what an earlier one has waited for.
DELETE FROM restored_logs
