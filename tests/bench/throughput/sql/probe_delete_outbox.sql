-- All were published.
DELETE FROM outbox
