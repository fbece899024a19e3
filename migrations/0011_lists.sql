-- Lists of builds by filter, and who wrote what. What was there before comes into them in 0013_lists_backfill.sql: this file has only what is done at
-- once, for it locks out even those who read build_audit.
--
-- Stop all build services before, and start none of an older version after: they would end builds without writing them into the lists.
--
-- Lists are read newest first, page by page, by (created_at, id). Any filter must find its page without looking at what does not fit, however many
-- builds there are; and an index on build_audit over anything that changes would make all of its updates dear (0003_builds.sql). So the lists
-- that filters choose from are a slim table of their own, written once, when a build ends and nothing of it changes any more. The builds that
-- have not ended are found by what active_builds is made of: the project's own in the queue, and those that hold a slot.

-- Those of a project that wait for a slot, however many of others do.
CREATE INDEX build_queue_project ON build_queue (project_id);

-- What filters ask of a build that has not ended; both are the spec's.
ALTER TABLE build_audit
	ADD COLUMN template text,    -- "name@version"
	ADD COLUMN asked_branch text; -- NULL: the remote's HEAD. What the worker made of it: branch

-- Which list of a project: all ended builds (0), or those of a branch, template, template version, branch and template, or commit. Two names of one
-- project share a number once in 2^64 times. Each list once: of a refused request the
-- template may have no version.
CREATE FUNCTION kiln_build_list(kind text, name text) RETURNS bigint LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE AS $$
	SELECT hashtextextended(kind || ' ' || name, 0)
$$;
CREATE FUNCTION kiln_build_lists(branch text, template text, commit_sha text) RETURNS SETOF bigint LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
	SELECT DISTINCT unnest(array_remove(ARRAY[
		0,
		kiln_build_list('branch', branch),
		kiln_build_list('template', split_part(template, '@', 1)),
		kiln_build_list('template', template),
		kiln_build_list('both', branch || ' ' || split_part(template, '@', 1)),
		kiln_build_list('both', branch || ' ' || template),
		kiln_build_list('commit', commit_sha)], NULL))
$$;

-- Whether builds of a class ("command,gpu,linux": agent, then labels) fit; agent NULL: any.
CREATE FUNCTION kiln_class_fits(class text, agent text, labels text[]) RETURNS boolean LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
	SELECT (agent IS NULL OR split_part(class, ',', 1) = agent) AND (string_to_array(class, ','))[2:] @> labels
$$;

-- A row for each list that an ended build stands in. (status, class) is its kind: a project has few, so a list is some ordered runs that are merged.
CREATE TABLE ended_builds (
	project_id uuid NOT NULL,
	list bigint NOT NULL,
	status text COLLATE "C" NOT NULL,
	class text COLLATE "C" NOT NULL, -- build_audit.class
	created_at timestamptz NOT NULL,
	build_id uuid NOT NULL,
	PRIMARY KEY (project_id, list, status, class, created_at, build_id)
);

-- Whether a build fits a filter (NULL: any), by what its own row says; a template is given by name or as name@version.
CREATE FUNCTION kiln_build_fits(b build_audit, status text, agent text, labels text[], branch text, template text) RETURNS boolean
LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
	SELECT (status IS NULL OR b.status = status) AND kiln_class_fits(b.class, agent, labels)
		AND (branch IS NULL OR coalesce(b.branch, b.asked_branch) = branch)
		AND (template IS NULL OR b.template = template OR split_part(b.template, '@', 1) = template)
$$;

-- Where a build's POST came from: {route, request_id, address}; NULL: not from the gateway.
ALTER TABLE build_requests ADD COLUMN origin json;

-- Writes that are no builds' POSTs: those of the gateway in the transaction of what they did, cancels by the build service with their effect.
CREATE TABLE audit_log (
	id uuid PRIMARY KEY,
	time timestamptz NOT NULL,
	token_id uuid NOT NULL,
	route text NOT NULL,         -- "POST /projects"
	outcome text NOT NULL,       -- created, changed, deleted, revoked; accepted: durable, and done later
	resource_type text NOT NULL, -- project, build, template, token
	resource text NOT NULL,      -- its id; of a template "name@version"
	request_id text NOT NULL,
	address text NOT NULL        -- of the client
);
CREATE INDEX audit_log_time ON audit_log (time, id);
CREATE INDEX audit_log_token ON audit_log (token_id, time, id);
CREATE INDEX audit_log_resource ON audit_log (resource, time, id);

GRANT SELECT ON ended_builds TO kiln_gateway;
GRANT SELECT, INSERT, DELETE ON ended_builds TO kiln_build_service;
GRANT SELECT, INSERT ON audit_log TO kiln_gateway;
GRANT INSERT ON audit_log TO kiln_build_service;
