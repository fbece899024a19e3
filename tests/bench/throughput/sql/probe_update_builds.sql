-- $1 ids, $2 results, $3 status, $4 phase, $5 events
UPDATE build_audit b SET
	status = $3, phase = $4, last_sequence = last_sequence + $5::integer, result = new.result, updated_at = now()
FROM unnest($1::uuid[], $2::json[]) AS new (id, result)
WHERE b.id = new.id
