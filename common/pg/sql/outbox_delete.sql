-- By the list of acknowledged ids, never by a high-water mark: a row with a lower id may still be uncommitted.
DELETE FROM outbox WHERE id = ANY ($1::bigint[])
