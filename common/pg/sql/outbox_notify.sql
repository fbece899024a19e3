-- Wakes the relays. A transaction of its own: NOTIFY takes a database-wide lock at commit.
NOTIFY kiln_outbox;
