-- Is there anybody to match? And is anybody parked, to whom a place in a project that is given back may matter?
SELECT
	(SELECT true FROM build_queue WHERE NOT parked ORDER BY class LIMIT 1) IS NOT NULL AS waits,
	(SELECT true FROM build_queue WHERE parked ORDER BY project_id, class LIMIT 1) IS NOT NULL AS parked
