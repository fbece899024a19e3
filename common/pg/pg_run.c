/* The simple protocol: SQL text as it is, outside of pipeline mode. */
#include "common/base/clock.h"
#include "common/pg/pg_private.h"

/* A text has one result per statement. */
#define MAX_RESULTS 100000

/* Reads all results. -1: the connection is lost or the text failed; *ret_failed tells which. */
static int read_results(struct pg_conn *conn, int64_t deadline_ms, bool *ret_failed, struct error *err)
{
	bool failed = false;
	for (int i = 0; i < MAX_RESULTS; i++) {
		if (pg_wait_result(conn, deadline_ms, err) < 0)
			return -1;
		PGresult *result = PQgetResult(conn->pg);
		if (result == NULL) {
			*ret_failed = failed;
			return failed ? -1 : 0;
		}
		ExecStatusType status = PQresultStatus(result);
		bool good = status == PGRES_COMMAND_OK || status == PGRES_TUPLES_OK || status == PGRES_EMPTY_QUERY;
		if (!good && !failed) {
			failed = true;
			(void)pg_result_error(result, "sql text", err); /* is the failure, which is noted */
		}
		PQclear(result);
		if (PQstatus(conn->pg) != CONNECTION_OK)
			return -1;
		if (!good && status != PGRES_FATAL_ERROR) /* COPY would wait for ever */
			return error_set(err, ERR_INTERNAL, "sql text: unexpected result %s", PQresStatus(status));
	}
	return error_set(err, ERR_LIMIT, "sql text: too many results");
}

static int run_text(struct pg_conn *conn, const char *sql, struct error *err)
{
	int64_t now_ms = clock_boot_ms();
	bool failed = false;
	int result = -1;
	err->sqlstate[0] = '\0';
	atomic_store(&conn->busy_since_ms, now_ms);
	if (PQsendQuery(conn->pg, sql) == 0)
		(void)pg_connection_error(conn, ERR_UNAVAILABLE, err); /* is returned below */
	else
		result = read_results(conn, now_ms + conn->settings.call_timeout_ms, &failed, err);
	atomic_store(&conn->busy_since_ms, 0);
	if (result < 0 && !failed) {
		/* The text may hold its own COMMIT: only inside of our transaction it is sure that nothing happened. */
		err->kind = conn->transaction == PG_NO_TRANSACTION ? ERR_UNKNOWN : ERR_UNAVAILABLE;
		pg_disconnect(conn);
	}
	return result;
}

int pg_run(struct pg_conn *conn, const char *sql, struct error *err)
{
	CHECK(conn->transaction != PG_TRANSACTION_SENT);
	if (pg_ensure(conn, err) < 0)
		return -1;
	if (conn->transaction == PG_TRANSACTION_DUE) {
		CHECK(conn->opening.statement == NULL); /* see pg_begin_with */
		conn->transaction = PG_TRANSACTION_OPEN;
		if (run_text(conn, "BEGIN", err) < 0)
			return -1;
	}
	return run_text(conn, sql, err);
}

PGconn *pg_raw(struct pg_conn *conn)
{
	return pg_connected(conn) ? conn->pg : NULL;
}
