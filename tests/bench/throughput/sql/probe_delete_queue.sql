-- $1 ids
DELETE FROM build_queue WHERE build_id = ANY ($1::uuid[])
