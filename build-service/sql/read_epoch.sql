-- Raised by each restore: attempt numbers jump with it. No row as long as something is not applied that was in the logs when the last restore began: nothing is
-- dispatched before.
SELECT epoch FROM deployment WHERE NOT EXISTS (SELECT FROM unapplied_logs)
