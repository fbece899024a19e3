-- Lines of a log have numbers, so whoever reads it sees by the next one that some are missing. Only behind the last one there is none: when that is
-- removed (retention), its number stays here, as long as the build. Removing leaves the mark by itself, whoever does it.
CREATE TABLE build_logs_gone (
	build_id uuid NOT NULL,
	attempt integer NOT NULL,
	last_line bigint NOT NULL, -- the highest number of a line that was removed
	PRIMARY KEY (build_id, attempt)
);

-- The build's row is not locked here: who removes a build has locked it, and removes its log's rows too, so waits for this transaction and then finds the
-- mark (kiln_builds_removed); with a lock here each would wait for the other.
CREATE FUNCTION kiln_logs_removed() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
	INSERT INTO build_logs_gone AS gone (build_id, attempt, last_line)
	SELECT build_id, attempt, max(first_line + line_count - 1)
	FROM removed
	WHERE EXISTS (SELECT FROM build_audit b WHERE b.id = removed.build_id)
	GROUP BY build_id, attempt
	ON CONFLICT (build_id, attempt) DO UPDATE SET last_line = greatest(gone.last_line, excluded.last_line);
	RETURN NULL;
END $$;
CREATE TRIGGER build_logs_removed AFTER DELETE ON build_logs
	REFERENCING OLD TABLE AS removed FOR EACH STATEMENT EXECUTE FUNCTION kiln_logs_removed();

CREATE FUNCTION kiln_builds_removed() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
	DELETE FROM build_logs_gone gone USING removed WHERE gone.build_id = removed.id;
	RETURN NULL;
END $$;
CREATE TRIGGER build_audit_removed AFTER DELETE ON build_audit
	REFERENCING OLD TABLE AS removed FOR EACH STATEMENT EXECUTE FUNCTION kiln_builds_removed();

GRANT SELECT ON build_logs_gone TO kiln_gateway;
GRANT SELECT, INSERT, UPDATE, DELETE ON build_logs_gone TO kiln_build_service;
