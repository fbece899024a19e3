-- A parked build comes back to the common line when its project has room (build-service/sql/unpark.sql). How many of a line have come back and still wait is
-- counted, so that no more come than there is room for.
ALTER TABLE build_queue ADD COLUMN unparked boolean NOT NULL DEFAULT false;
CREATE INDEX build_queue_unparked ON build_queue (project_id, class) WHERE unparked AND NOT parked;

-- Parked builds are looked for by project, settling attempts are never parked: they need no place in their project.
DROP INDEX build_queue_parked;
CREATE INDEX build_queue_parked ON build_queue (project_id, class, queue_key, build_id) WHERE parked;
ALTER TABLE build_queue ADD CONSTRAINT build_queue_settling_not_parked CHECK (NOT (parked AND class = '*'));
