-- The places in projects that are taken.
SELECT project_id, n FROM project_slots
