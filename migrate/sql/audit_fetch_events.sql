-- verify-audit: the next events. Few, for each may bring 2 MiB of digits.
FETCH FORWARD 50 FROM audit_events
