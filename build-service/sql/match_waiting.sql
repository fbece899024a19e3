-- The distinct classes that wait, by jumping from one to the next in the index. Builds that are parked with a full project are in nobody's way.
WITH RECURSIVE line AS (
	(SELECT class FROM build_queue WHERE NOT parked ORDER BY class LIMIT 1)
	UNION ALL
	SELECT (SELECT q.class FROM build_queue q WHERE NOT q.parked AND q.class > line.class ORDER BY q.class LIMIT 1)
	FROM line WHERE line.class IS NOT NULL
)
SELECT class FROM line WHERE class IS NOT NULL
