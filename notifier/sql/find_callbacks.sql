-- Which of these builds have a callback_url, in the order of $1; `lost`: the build is not in the database. After a restore that may be because the build service has
-- not read the requests again: the statement fails with KN004 then.
SELECT build.id IS NULL AS lost, build.callback_url IS NOT NULL AS wanted,
	CASE WHEN build.id IS NULL THEN
		kiln_expect(CASE WHEN EXISTS (SELECT FROM unapplied_logs) THEN 1 ELSE 0 END, 0, 'KN004', 'builds are missing that the restore is to bring back')
	END
FROM unnest($1::uuid[]) WITH ORDINALITY AS event (id, n) LEFT JOIN build_audit AS build ON build.id = event.id
ORDER BY event.n
