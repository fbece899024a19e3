-- The commit that a lost attempt announced, told after its loss. No row: there is no such attempt, or it was not lost.
-- $1 build, $2 attempt, $3 lease, $4 commit
UPDATE build_attempts SET commit_sha = $4::text
WHERE build_id = $1::uuid AND attempt = $2::integer AND lease_id = $3::uuid AND state = 'lost'
RETURNING attempt
