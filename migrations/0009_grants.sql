-- Only the rights that each service needs. A later migration that makes a table grants on it too.

GRANT USAGE ON SCHEMA public TO kiln_gateway, kiln_build_service, kiln_notifier;

-- The gateway reads everything and writes what bots own; a project's creation writes its event into the outbox.
GRANT SELECT ON ALL TABLES IN SCHEMA public TO kiln_gateway;
GRANT INSERT, UPDATE, DELETE ON projects, templates, api_tokens TO kiln_gateway;
GRANT INSERT ON outbox TO kiln_gateway;

-- The build service is the only writer of build state.
GRANT SELECT, INSERT, UPDATE, DELETE ON build_audit, build_attempts, build_events, build_logs, workers, project_slots,
	early_results, outbox, dead_letters TO kiln_build_service;
GRANT SELECT, UPDATE ON consumer_offsets TO kiln_build_service;
GRANT SELECT, DELETE ON projects TO kiln_build_service;
GRANT UPDATE (provisional_build) ON projects TO kiln_build_service;
GRANT SELECT ON deployment TO kiln_build_service;

-- The notifier.
GRANT SELECT, INSERT, UPDATE, DELETE ON webhook_deliveries, webhook_attempts TO kiln_notifier;
GRANT SELECT, UPDATE ON consumer_offsets TO kiln_notifier;
GRANT INSERT ON outbox, dead_letters TO kiln_notifier;
GRANT SELECT ON projects, build_audit TO kiln_notifier;
