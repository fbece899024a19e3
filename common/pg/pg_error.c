#include <stdio.h>
#include <string.h>

#include "common/base/str.h"
#include "common/pg/pg_private.h"

/* By SQLSTATE: https://www.postgresql.org/docs/15/errcodes-appendix.html; the longest prefix that fits stands first. */
static const struct {
	const char *prefix;
	enum error_kind kind;
} kinds[] = {
	{"23505", ERR_CONFLICT},    /* unique_violation */
	{"40001", ERR_CONFLICT},    /* serialization_failure */
	{"40P01", ERR_CONFLICT},    /* deadlock_detected */
	{"55P03", ERR_CONFLICT},    /* lock_not_available: lock_timeout */
	{"57014", ERR_TIMEOUT},     /* query_canceled: statement_timeout */
	{"57P0", ERR_UNAVAILABLE},  /* shutdown, crash, cannot connect now, database dropped, idle session */
	{"25P03", ERR_UNAVAILABLE}, /* idle_in_transaction_session_timeout */
	{"25006", ERR_UNAVAILABLE}, /* read_only_sql_transaction: a standby answered */
	{"0A000", ERR_UNAVAILABLE}, /* feature_not_supported: "cached plan must not change result type" */
	{"26000", ERR_UNAVAILABLE}, /* invalid_sql_statement_name: the prepared statement is gone */
	{"42501", ERR_DENIED},      /* insufficient_privilege */
	{"KN", ERR_CONFLICT},       /* ours: kiln_expect of 0004_messaging.sql */
	{"08", ERR_UNAVAILABLE},    /* connection exception */
	{"53", ERR_UNAVAILABLE},    /* insufficient resources */
	{"58", ERR_UNAVAILABLE},    /* system error: disk */
	{"22", ERR_INVALID},        /* data exception */
	{"23", ERR_INVALID},        /* integrity constraint violation */
};

static enum error_kind kind_of(const char *sqlstate)
{
	for (size_t i = 0; i < ARRAY_LEN(kinds); i++) {
		if (str_starts(sqlstate, kinds[i].prefix))
			return kinds[i].kind;
	}
	return ERR_INTERNAL;
}

int pg_result_error(const PGresult *result, const char *statement, struct error *err)
{
	const char *sqlstate = PQresultErrorField(result, PG_DIAG_SQLSTATE);
	const char *message = PQresultErrorField(result, PG_DIAG_MESSAGE_PRIMARY);
	if (sqlstate == NULL) /* libpq's own: the connection */
		return error_set(err, ERR_UNAVAILABLE, "%s: %s", statement, PQresultErrorMessage(result));
	(void)error_set(err, kind_of(sqlstate), "%s: %s (%s)", statement, message == NULL ? "" : message, sqlstate);
	(void)snprintf(err->sqlstate, sizeof(err->sqlstate), "%s", sqlstate); /* is five characters */
	return -1;
}

int pg_connection_error(const struct pg_conn *conn, enum error_kind kind, struct error *err)
{
	const char *message = PQerrorMessage(conn->pg);
	size_t len = strcspn(message, "\n");
	return error_set(err, kind, "postgres: %.*s", (int)(len > 400 ? 400 : len), len == 0 ? "connection lost" : message);
}
