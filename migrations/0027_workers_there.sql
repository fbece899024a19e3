-- Workers that are there, among all that ever were: what a match looks at. Neither column changes with a heartbeat, so it costs those nothing.
CREATE INDEX workers_there ON workers (partition) WHERE state IN ('active', 'draining');
