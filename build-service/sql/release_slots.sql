-- Gives back the places that builds had in their projects.
-- $1 ids
DELETE FROM project_slots WHERE build_id = ANY ($1::uuid[])
