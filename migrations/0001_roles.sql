-- One role per service with only the rights it needs (0009_grants.sql). Roles belong to the whole cluster, so they may be there already; kiln-migrate gives
-- them LOGIN and a password when it is told one (KILN_ROLE_PASSWORD_…).
DO $$
DECLARE
	role_name text;
BEGIN
	FOREACH role_name IN ARRAY ARRAY['kiln_gateway', 'kiln_build_service', 'kiln_notifier'] LOOP
		BEGIN
			EXECUTE format('CREATE ROLE %I NOLOGIN', role_name);
		EXCEPTION
			-- Two migrations of two databases at once: the other one made it.
			WHEN duplicate_object OR unique_violation THEN NULL;
		END;
	END LOOP;
END
$$;
