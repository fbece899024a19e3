-- Rows of which only some events were acknowledged: takes the builds $2 out of the rows $1, one pair for each. A row that another relay has meanwhile left with no others
-- stays as it is: its events are published once more. The bytes of each build are not known: what stays gets its share, so that a row that cannot go does not fill the window.
UPDATE outbox AS o
SET (build_ids, first_sequences, last_sequences, events, bytes) = (
	SELECT array_agg(build_id), array_agg(first), array_agg(last), sum(last - first + 1), o.bytes * sum(last - first + 1) / o.events
	FROM unnest(o.build_ids, o.first_sequences, o.last_sequences) AS named (build_id, first, last)
	WHERE build_id <> ALL (done.builds))
FROM (SELECT id, array_agg(build_id) AS builds FROM unnest($1::bigint[], $2::uuid[]) AS pair (id, build_id) GROUP BY id) AS done
WHERE o.id = done.id AND NOT o.build_ids <@ done.builds
