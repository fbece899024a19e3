-- Raised by each restore: attempt numbers jump with it.
SELECT epoch FROM deployment
