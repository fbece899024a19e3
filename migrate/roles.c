#include "migrate/roles.h"

#include <poll.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/alloc.h"
#include "common/base/clock.h"
#include "common/base/ids.h"
#include "common/base/log.h"
#include "common/base/str.h"

/* As a SCRAM verifier made here: the password itself is never in a statement, where a server's log would show it. */
static char *alter_statement(PGconn *pg, const char *role, const char *password, struct error *err)
{
	char *verifier = PQencryptPasswordConn(pg, password, role, "scram-sha-256");
	char *quoted = verifier != NULL ? PQescapeLiteral(pg, verifier, strlen(verifier)) : NULL;
	char *statement = NULL;

	if (quoted != NULL)
		statement = xasprintf("ALTER ROLE %s LOGIN PASSWORD %s", role, quoted);
	else
		(void)error_set(err, ERR_INTERNAL, "cannot encode the password of %s", role); /* NULL says it */
	PQfreemem(quoted);
	PQfreemem(verifier);
	return statement;
}

static int set_password(struct pg_conn *conn, const char *role, const char *password, int64_t deadline_ms,
						struct error *err)
{
	if (password == NULL)
		return 0;
	if (pg_connect(conn, err) < 0)
		return -1;
	CLEANUP(free_p) char *statement = alter_statement(pg_raw(conn), role, password, err);
	if (statement == NULL)
		return -1;
	while (pg_run(conn, statement, err) < 0) {
		/* Roles are the cluster's and our lock is the database's: another database's kiln-migrate may change the same
		 * row, which Postgres answers with "tuple concurrently updated". */
		if (!str_equal(err->sqlstate, "XX000") || clock_left_ms(deadline_ms) == 0)
			return error_prefix(err, "password of %s", role);
		poll(NULL, 0, 10 + (int)random_below(90));
	}
	log_info("role may log in", "role", role, NULL);
	return 0;
}

int roles_set_passwords(struct pg_conn *conn, const struct migrate_settings *settings, int64_t deadline_ms,
						struct error *err)
{
	if (set_password(conn, "kiln_gateway", settings->password_gateway, deadline_ms, err) < 0 ||
		set_password(conn, "kiln_build_service", settings->password_build_service, deadline_ms, err) < 0 ||
		set_password(conn, "kiln_notifier", settings->password_notifier, deadline_ms, err) < 0)
		return -1;
	return 0;
}
