-- A parked build comes back into the common line when its project has room (build-service/sql/unpark.sql). Those that have come back and still wait are found by
-- their project, so that about as many come as there is room for.
ALTER TABLE build_queue ADD COLUMN unparked boolean NOT NULL DEFAULT false;
CREATE INDEX build_queue_unparked ON build_queue (project_id, class, queue_key, build_id) WHERE unparked AND NOT parked;

-- Parked builds are looked for by project, settling attempts are never parked: they need no place in their project.
DROP INDEX build_queue_parked;
CREATE INDEX build_queue_parked ON build_queue (project_id, class, queue_key, build_id) WHERE parked;
UPDATE build_queue SET parked = false WHERE parked AND class = '*'; -- a restore before 0028 left them so
ALTER TABLE build_queue ADD CONSTRAINT build_queue_settling_not_parked CHECK (NOT (parked AND class = '*'));
