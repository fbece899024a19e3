/* Shared inside of common/pg only. */
#pragma once

#include <stdatomic.h>

#include "common/pg/pg.h"

/* Statements that this process prepares on one connection, at most. */
#define PG_PREPARED_SLOTS 512

enum pg_transaction {
	PG_NO_TRANSACTION,
	PG_TRANSACTION_DUE,    /* pg_begin was called; BEGIN goes with the next exchange */
	PG_TRANSACTION_SENT,   /* BEGIN and the opening are on their way: their results come with the next exchange */
	PG_TRANSACTION_OPEN,   /* perhaps aborted by an error: the server knows */
	PG_TRANSACTION_BROKEN, /* its connection is gone: nothing works until pg_rollback */
};

struct pg_conn {
	char *url, *application_name;
	struct pg_settings settings; /* with the defaults filled in */
	PGconn *pg;                  /* NULL = not connected */
	unsigned generation;
	_Atomic int backend_pid;
	_Atomic int64_t busy_since_ms;

	enum pg_transaction transaction;
	struct pg_opening opening; /* of the transaction; its statement is NULL without one */
	bool opening_failed;
	bool stale; /* its prepared statements do not fit the schema any more: closed at the next chance */
	size_t prepared_len;
	const struct pg_statement *prepared[PG_PREPARED_SLOTS]; /* open addressing by pointer */
};

/* The server knows of it. */
static inline bool pg_transaction_begun(const struct pg_conn *conn)
{
	return conn->transaction == PG_TRANSACTION_OPEN || conn->transaction == PG_TRANSACTION_SENT;
}

/* Waits for the socket (read, and write when want_write); ERR_TIMEOUT after the deadline, but never without having
 * looked. */
int pg_wait_socket(struct pg_conn *conn, bool want_write, int64_t deadline_ms, struct error *err) MUST_CHECK;
/* Flushes and reads until a PQgetResult would not block. -1: the connection is of no use any more (time-out or broken).
 */
int pg_wait_result(struct pg_conn *conn, int64_t deadline_ms, struct error *err) MUST_CHECK;

/* Fills err from a failed result and returns -1. */
int pg_result_error(const PGresult *result, const char *statement, struct error *err);
/* The first line of libpq's message for the connection. */
int pg_connection_error(const struct pg_conn *conn, enum error_kind kind, struct error *err);

/* Connects, or finds out that a connection which was idle is dead and connects anew; fails inside of a transaction that
 * lost its connection. */
int pg_ensure(struct pg_conn *conn, struct error *err) MUST_CHECK;
/*
 * One round trip in pipeline mode: BEGIN (and the opening) when it is due or asked for, the items, COMMIT when asked
 * for; what is not prepared yet is prepared on the way. results has one place per item. The connection is there; it is
 * closed when it fails. The transaction's state is kept up.
 */
int pg_exchange(struct pg_conn *conn, const struct pg_pipeline *pipeline, PGresult **results,
				struct error *err) MUST_CHECK;
/* Sends BEGIN and the opening; their results are the next exchange's. */
int pg_send_ahead(struct pg_conn *conn, struct error *err) MUST_CHECK;
