/*
 * Postgres by libpq: one connection belongs to one thread at a time. Calls block the caller, never the process for
 * ever: every call has the connection's call time-out, after which the connection is closed and the outcome is
 * ERR_UNKNOWN for a COMMIT, ERR_UNAVAILABLE otherwise. Statements come from .sql files (cmake/Embed.cmake), prepared by
 * name at first use on each connection.
 */
#pragma once

#include <libpq-fe.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/base/buffer.h"
#include "common/base/compiler.h"
#include "common/base/error.h"
#include "common/base/wakeup.h"

struct pg_statement {
	const char *name;
	const char *sql;
};

struct pg_settings {
	const char *url; /* libpq connection string; never logged with its password */
	const char *application_name;
	int connect_timeout_ms;             /* 5000 when 0 */
	int call_timeout_ms;                /* 15000 when 0 */
	int statement_timeout_ms;           /* 10000 when 0; session setting */
	int lock_timeout_ms;                /* 10000 when 0 */
	int idle_in_transaction_timeout_ms; /* 10000 when 0 */
	/* A commit may be lost when the server crashes (whole, and only the last ones): for what is then done again. */
	bool async_commit;
};

/* Is `url` a connection string whose parts libpq takes: the syntax, and ports, as many as there are hosts? A
 * config_option's check; ERR_INVALID, which quotes nothing of it. */
int pg_url_check(const char *url, struct error *err) MUST_CHECK;

/* The same URL with session settings for services whose every statement is a batch looked up by key: one generic plan,
 * by index, whatever the statistics say (a plan made while a table was small scans it for ever). Heap text, the
 * caller's; a URL that has its own `options` stays as it is. */
char *pg_indexed_url(const char *url);

struct pg_conn;

/* Does not connect yet. Settings are copied. */
struct pg_conn *pg_conn_new(const struct pg_settings *settings);
void pg_conn_free(struct pg_conn *conn);
DEFINE_CLEANUP(struct pg_conn, pg_conn_free)
/* Connects when it is not connected (the calls below do it too, outside of transactions). ERR_UNAVAILABLE. */
int pg_connect(struct pg_conn *conn, struct error *err) MUST_CHECK;
bool pg_connected(const struct pg_conn *conn);
/* Closes; the next call connects anew. */
void pg_disconnect(struct pg_conn *conn);
/* The libpq handle (non-blocking mode), for COPY and the like; NULL when not connected. In a transaction: after its
 * first statement. */
PGconn *pg_raw(struct pg_conn *conn);
/* How often it has connected so far: session state (LISTEN, advisory locks) is gone when this has changed. */
unsigned pg_generation(const struct pg_conn *conn);
/* Connects if need be, and LISTENs to a channel (a name, not data) unless the connection is that of *generation, which
 * it sets: when that changes, what was told meanwhile is lost. Notifications come by pg_wait_notified. */
int pg_listen(struct pg_conn *conn, const char *channel, unsigned *generation, struct error *err) MUST_CHECK;
/* What ends a wait for notifications besides them. */
struct pg_notified {
	const struct wakeup *wakeup; /* signalled; it is not cleared */
	const _Atomic bool *stop;
	void (*each)(void *ctx, const char *payload); /* gets each of them; may be NULL */
	void *ctx;
};
/* Waits until another session has notified, or deadline_ms (CLOCK_BOOTTIME). Those of this session itself come back
 * too: they are dropped. A connection that ends meanwhile is closed, and waited on no more. */
void pg_wait_notified(struct pg_conn *conn, const struct pg_notified *wait, int64_t deadline_ms);
/* For the stuck-blocker watch. Any thread. The backend's pid, 0 when not connected; when the call under way began
 * (clock_boot_ms), 0 when there is none. */
int pg_backend_pid(const struct pg_conn *conn);
int64_t pg_busy_since_ms(const struct pg_conn *conn);

/* Text parameters; NULL is SQL NULL. */
#define PG_PARAMS(...)                                                                                                 \
	(const char *const[])                                                                                              \
	{                                                                                                                  \
		__VA_ARGS__                                                                                                    \
	}

/*
 * Runs one prepared statement. *ret_result (may be NULL when not wanted) is PGRES_TUPLES_OK or COMMAND_OK; PQclear it.
 * Errors: ERR_UNAVAILABLE (connection; class 08, 57P0x, 53), ERR_CONFLICT (23505, 40001, 40P01, 55P03), ERR_INVALID
 * (22, 23), ERR_TIMEOUT (57014), ERR_INTERNAL; sqlstate is set.
 *
 * When the answer is lost: ERR_UNAVAILABLE inside of a transaction and for a statement that begins with SELECT. Outside
 * of one a statement that was sent commits by itself, so its fate is ERR_UNKNOWN.
 */
int pg_query(struct pg_conn *conn, const struct pg_statement *statement, const char *const *params, size_t params_len,
			 PGresult **ret_result, struct error *err) MUST_CHECK;
/* Plain SQL text without parameters, may be several statements (migrations). */
int pg_run(struct pg_conn *conn, const char *sql, struct error *err) MUST_CHECK;

/* Transactions. BEGIN travels with the first statement, so it costs no round trip; pg_commit and pg_rollback before one
 * do nothing. A failed call leaves the transaction aborted: pg_rollback it. pg_rollback never fails (it closes a broken
 * connection). */
int pg_begin(struct pg_conn *conn, struct error *err) MUST_CHECK;
/*
 * pg_begin with a statement that comes before all others of the transaction: a condition of it. The next call must not
 * be pg_run; pg_rollback is allowed.
 *
 * With `ahead` the statement is sent at once, and the server works at it while the caller prepares what comes next; it
 * must affect `rows` rows, or the first call that asks the server fails with ERR_CONFLICT. That costs a transaction of
 * one round trip a second one. Without `ahead` it travels with the first call, COMMIT perhaps behind it: the statement
 * must then fail by itself when the transaction is not to go on. `params` and its texts must live until the first call
 * that asks the server.
 */
struct pg_opening {
	const struct pg_statement *statement;
	const char *const *params;
	size_t params_len;
	bool ahead;
	int64_t rows;
};
int pg_begin_with(struct pg_conn *conn, const struct pg_opening *opening, struct error *err) MUST_CHECK;
/* Was it the opening of the transaction begun last that failed? */
bool pg_opening_failed(const struct pg_conn *conn);
/* False after a pipeline that committed. */
bool pg_in_transaction(const struct pg_conn *conn);
int pg_commit(struct pg_conn *conn, struct error *err) MUST_CHECK; /* ERR_UNKNOWN when the answer was lost */
void pg_rollback(struct pg_conn *conn);

/*
 * An array parameter for `unnest($1::text[])`: a literal, or (pg_array_init_binary) the form that the wire has for
 * arrays, in which nothing is quoted and printed here to be unquoted and parsed there: with batches of builds that was
 * a third of what Postgres did. A binary array goes by pg_pipeline_array only, and the statement must cast it to just
 * its type.
 */
enum pg_element { /* the server's numbers of types */
				  PG_LITERAL = 0,
				  PG_BOOL = 16,
				  PG_BYTEA = 17,
				  PG_INT8 = 20,
				  PG_INT2 = 21,
				  PG_INT4 = 23,
				  PG_TEXT = 25,
				  PG_JSON = 114,
				  PG_UUID = 2950,
};
struct pg_array {
	struct buffer buf;
	size_t len;
	enum pg_element element;
};
void pg_array_init(struct pg_array *array, size_t max_bytes);
void pg_array_init_binary(struct pg_array *array, enum pg_element element, size_t max_bytes);
void pg_array_release(struct pg_array *array);
void pg_array_clear(struct pg_array *array); /* keeps the memory */
/* What is added must fit the type of a binary array: text to text, json and (36 characters of a valid one) uuid. */
void pg_array_add(struct pg_array *array, const char *text);                 /* NULL is SQL NULL, of any type */
void pg_array_add_len(struct pg_array *array, const char *text, size_t len); /* without a NUL in it */
void pg_array_add_int(struct pg_array *array, int64_t value);
void pg_array_add_bool(struct pg_array *array, bool value);
void pg_array_add_bytes(struct pg_array *array, const void *data, size_t len); /* for bytea[] */
/* The finished parameter; valid until the next add. ERR_LIMIT aborts: sizes are bounded by the caller. */
const char *pg_array_text(struct pg_array *array);

/*
 * A pipeline: several statements in one round trip, in libpq's pipeline mode, as one implicit unit up to
 * pg_pipeline_run (inside an open transaction or not). Results come in order; on the first error all later ones are
 * NULL and the call returns -1. pg_pipeline_begin_tx / _commit_tx put BEGIN and COMMIT into the same round trip.
 */
#define PG_PIPELINE_MAX 32
#define PG_PIPELINE_PARAMS 320 /* of all items together */
struct pg_pipeline {
	struct pg_conn *conn;
	size_t len;
	struct {
		const struct pg_statement *statement;
		size_t first_param, params_len; /* in `params` */
	} items[PG_PIPELINE_MAX];
	const char *params[PG_PIPELINE_PARAMS];
	int lengths[PG_PIPELINE_PARAMS], formats[PG_PIPELINE_PARAMS]; /* as libpq takes them: 0 for text */
	size_t params_len;
	bool begins, commits;
};
void pg_pipeline_init(struct pg_pipeline *pipeline, struct pg_conn *conn);
/* The array of params is copied (PG_PARAMS ends with its block); the texts must live until pg_pipeline_run. */
void pg_pipeline_add(struct pg_pipeline *pipeline, const struct pg_statement *statement, const char *const *params,
					 size_t params_len);
/* The parameter at `index` of the statement added last is this array, in whichever form it is. */
void pg_pipeline_array(struct pg_pipeline *pipeline, size_t index, struct pg_array *array);
void pg_pipeline_begin_tx(struct pg_pipeline *pipeline); /* for tests and benchmarks: services begin before */
void pg_pipeline_commit_tx(struct pg_pipeline *pipeline);
/* results[i] belongs to items[i]; PQclear each (pg_results_clear). A failed run of a pipeline that begins and commits is
 * rolled back already; after any other failed one call pg_rollback, which is harmless without a transaction. */
int pg_pipeline_run(struct pg_pipeline *pipeline, PGresult *results[PG_PIPELINE_MAX], struct error *err) MUST_CHECK;
void pg_results_clear(PGresult *results[PG_PIPELINE_MAX]);
/* Commits the transaction with what was added, in one round trip; results are of no interest. As pg_commit. */
int pg_pipeline_commit(struct pg_pipeline *pipeline, struct error *err) MUST_CHECK;

/* Columns by name (a missing column is a bug: CHECK). */
const char *pg_text(const PGresult *result, int row,
					const char *column); /* NULL for SQL NULL; valid as long as the result */
int64_t pg_int(const PGresult *result, int row, const char *column, int64_t if_null);
bool pg_bool(const PGresult *result, int row, const char *column);
/* A bytea. Appends it; nothing for SQL NULL. -1 when the buffer is full. */
int pg_bytes(const PGresult *result, int row, const char *column, struct buffer *out) MUST_CHECK;
/* The same of a bytea's text, as pg_text gives it. */
int pg_bytes_from_text(const char *text, struct buffer *out) MUST_CHECK;
/* The first row whose column is `text`; -1: none, also of a result that is NULL. */
int pg_find_row(const PGresult *result, const char *column, const char *text);

static inline void pg_result_p(PGresult **result)
{
	PQclear(*result);
}
