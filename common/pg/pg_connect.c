/* Connecting: libpq's non-blocking connect under our own deadline, with the session's settings in the start-up packet.
 */
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/alloc.h"
#include "common/base/clock.h"
#include "common/base/log.h"
#include "common/pg/pg_private.h"

/* What came while nobody asked, in reads of 16 KiB. */
#define MAX_IDLE_READS 64

static int or_default(int value, int fallback)
{
	return value > 0 ? value : fallback;
}

struct pg_conn *pg_conn_new(const struct pg_settings *settings)
{
	struct pg_conn *conn = xcalloc(1, sizeof(*conn));
	conn->url = xstrdup(settings->url);
	conn->application_name = xstrdup(settings->application_name == NULL ? "kiln" : settings->application_name);
	conn->settings = (struct pg_settings){
		.url = conn->url,
		.application_name = conn->application_name,
		.connect_timeout_ms = or_default(settings->connect_timeout_ms, 5000),
		.call_timeout_ms = or_default(settings->call_timeout_ms, 15000),
		.statement_timeout_ms = or_default(settings->statement_timeout_ms, 10000),
		.lock_timeout_ms = or_default(settings->lock_timeout_ms, 10000),
		.idle_in_transaction_timeout_ms = or_default(settings->idle_in_transaction_timeout_ms, 10000),
		.async_commit = settings->async_commit,
	};
	return conn;
}

void pg_conn_free(struct pg_conn *conn)
{
	if (conn == NULL)
		return;
	pg_disconnect(conn);
	free(conn->url);
	free(conn->application_name);
	free(conn);
}

void pg_disconnect(struct pg_conn *conn)
{
	atomic_store(&conn->backend_pid, 0);
	PQfinish(conn->pg); /* takes NULL */
	conn->pg = NULL;
	if (pg_transaction_begun(conn))
		conn->transaction = PG_TRANSACTION_BROKEN;
	conn->stale = false;
	conn->prepared_len = 0;
	memset(conn->prepared, 0, sizeof(conn->prepared));
}

bool pg_connected(const struct pg_conn *conn)
{
	return conn->pg != NULL && PQstatus(conn->pg) == CONNECTION_OK;
}

unsigned pg_generation(const struct pg_conn *conn)
{
	return conn->generation;
}

int pg_listen(struct pg_conn *conn, const char *channel, unsigned *generation, struct error *err)
{
	if (pg_connect(conn, err) < 0)
		return -1;
	if (*generation == pg_generation(conn))
		return 0;
	CLEANUP(free_p) char *sql = xasprintf("LISTEN %s", channel);
	if (pg_run(conn, sql, err) < 0)
		return -1;
	*generation = pg_generation(conn);
	return 0;
}

int pg_backend_pid(const struct pg_conn *conn)
{
	return atomic_load(&conn->backend_pid);
}

int64_t pg_busy_since_ms(const struct pg_conn *conn)
{
	return atomic_load(&conn->busy_since_ms);
}

/* "options" of the operator's own connection string come first, ours after. */
static int session_options(const struct pg_settings *settings, struct buffer *options, struct error *err)
{
	char *message = NULL;
	PQconninfoOption *parsed = PQconninfoParse(settings->url, &message);
	if (parsed == NULL) {
		/* libpq's message quotes the string, which holds a password. */
		PQfreemem(message);
		return error_set(err, ERR_INVALID, "postgres: the connection string cannot be parsed");
	}
	for (const PQconninfoOption *option = parsed; option->keyword != NULL; option++) {
		if (strcmp(option->keyword, "options") == 0 && option->val != NULL)
			(void)buffer_appendf(options, "%s ", option->val); /* looked at below */
	}
	PQconninfoFree(parsed);
	(void)buffer_appendf(options,
						 "-c statement_timeout=%d -c lock_timeout=%d -c idle_in_transaction_session_timeout=%d"
						 " -c client_min_messages=warning -c DateStyle=ISO -c TimeZone=UTC -c bytea_output=hex%s",
						 settings->statement_timeout_ms, settings->lock_timeout_ms,
						 settings->idle_in_transaction_timeout_ms,
						 settings->async_commit ? " -c synchronous_commit=off" : "");
	if (!buffer_ok(options))
		return error_set(err, ERR_LIMIT, "postgres: the connection string's options are too long");
	return 0;
}

static void on_notice(void *ctx, const char *message)
{
	(void)ctx;
	log_debug("postgres notice", "text", message, NULL);
}

static int start(struct pg_conn *conn, struct error *err)
{
	CLEANUP(buffer_release_p) struct buffer options;
	buffer_init(&options, 4096);
	if (session_options(&conn->settings, &options, err) < 0)
		return -1;
	char user_timeout[16];
	(void)snprintf(user_timeout, sizeof(user_timeout), "%d", conn->settings.call_timeout_ms);
	/* The later of two equal keywords wins: "fallback" ones stand before the operator's string, ours after it. */
	const char *const pairs[][2] = {
		{"target_session_attrs", "read-write"},
		{"keepalives_idle", "10"},
		{"keepalives_interval", "5"},
		{"keepalives_count", "3"},
		{"tcp_user_timeout", user_timeout},
		{"dbname", conn->settings.url},
		{"application_name", conn->settings.application_name},
		{"options", options.data},
		{"client_encoding", "UTF8"},
	};
	const char *keywords[ARRAY_LEN(pairs) + 1];
	const char *values[ARRAY_LEN(pairs) + 1];
	for (size_t i = 0; i < ARRAY_LEN(pairs); i++) {
		keywords[i] = pairs[i][0];
		values[i] = pairs[i][1];
	}
	keywords[ARRAY_LEN(pairs)] = NULL;
	values[ARRAY_LEN(pairs)] = NULL;
	conn->pg = PQconnectStartParams(keywords, values, 1);
	CHECK(conn->pg != NULL);
	(void)PQsetNoticeProcessor(conn->pg, on_notice, NULL); /* returns the old one */
	return 0;
}

static int finish_connecting(struct pg_conn *conn, int64_t deadline_ms, struct error *err)
{
	PostgresPollingStatusType state = PGRES_POLLING_WRITING;
	while (state != PGRES_POLLING_OK) {
		if (PQstatus(conn->pg) == CONNECTION_BAD || state == PGRES_POLLING_FAILED)
			return pg_connection_error(conn, ERR_UNAVAILABLE, err);
		/* The socket can be another one after each step. */
		struct pollfd poller = {.fd = PQsocket(conn->pg),
								.events = (short)(state == PGRES_POLLING_READING ? POLLIN : POLLOUT)};
		int left_ms = clock_left_ms(deadline_ms);
		if (poll(&poller, 1, left_ms) == 0 && clock_left_ms(deadline_ms) == 0)
			return error_set(err, ERR_UNAVAILABLE, "postgres: not connected within %d ms",
							 conn->settings.connect_timeout_ms);
		if (poller.revents != 0)
			state = PQconnectPoll(conn->pg);
	}
	return 0;
}

static int connect_now(struct pg_conn *conn, struct error *err)
{
	int64_t now_ms = clock_boot_ms();
	if (start(conn, err) < 0)
		return -1;
	if (finish_connecting(conn, now_ms + conn->settings.connect_timeout_ms, err) < 0 ||
		(PQsetnonblocking(conn->pg, 1) < 0 && pg_connection_error(conn, ERR_UNAVAILABLE, err) < 0)) {
		pg_disconnect(conn);
		return -1;
	}
	conn->generation++;
	atomic_store(&conn->backend_pid, PQbackendPID(conn->pg));
	return 0;
}

/* An idle connection that became readable holds a notification, a parameter change, or its end: a last message, and
 * behind it the end of the stream. */
static bool died_while_idle(struct pg_conn *conn)
{
	for (int i = 0; i < MAX_IDLE_READS; i++) {
		struct pollfd poller = {.fd = PQsocket(conn->pg), .events = POLLIN};
		if (poller.fd >= 0 && poll(&poller, 1, 0) == 0)
			return false;
		if (PQconsumeInput(conn->pg) == 0 || PQstatus(conn->pg) != CONNECTION_OK)
			return true;
	}
	return false;
}

int pg_connect(struct pg_conn *conn, struct error *err)
{
	if (pg_connected(conn))
		return 0;
	pg_disconnect(conn);
	return connect_now(conn, err);
}

int pg_ensure(struct pg_conn *conn, struct error *err)
{
	if (pg_transaction_begun(conn) && !pg_connected(conn))
		pg_disconnect(conn);
	if (conn->transaction == PG_TRANSACTION_BROKEN)
		return error_set(err, ERR_UNAVAILABLE, "postgres: the transaction's connection is gone");
	if (pg_transaction_begun(conn))
		return 0;
	/* Nothing of the session is in use: a dead or stale connection is replaced without a word. */
	if (conn->pg != NULL && (conn->stale || !pg_connected(conn) || died_while_idle(conn)))
		pg_disconnect(conn);
	return pg_connect(conn, err);
}
