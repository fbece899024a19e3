-- restore: a service that is connected; it would go on in the middle.
SELECT usename, application_name FROM pg_stat_activity
WHERE datname = current_database() AND usename IN ('kiln_gateway', 'kiln_build_service', 'kiln_notifier')
LIMIT 1
