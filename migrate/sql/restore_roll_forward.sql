-- restore: some of the builds that the backup has, after $1 in the order of their ids; `last` is NULL when there are none left.
WITH page AS (
	SELECT DISTINCT r.build_id FROM restored_events r JOIN build_audit b ON b.id = r.build_id
	WHERE r.build_id > $1::uuid ORDER BY r.build_id LIMIT 50
)
SELECT (SELECT build_id FROM page ORDER BY build_id DESC LIMIT 1) AS last, kiln_roll_forward(ARRAY(SELECT build_id FROM page)) AS rolled
