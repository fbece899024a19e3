/*
 * One round trip. libpq's pipeline grammar: each command has a result, then NULL; the sync at the end has a result and
 * no NULL. After a failed command the later ones come as PIPELINE_ABORTED up to the sync. Everything up to the sync
 * that is not between BEGIN and COMMIT is one implicit transaction, which the sync commits.
 */
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "common/base/clock.h"
#include "common/pg/pg_private.h"

static const struct pg_statement begin_statement = {.name = "kiln_begin", .sql = "BEGIN"};
static const struct pg_statement commit_statement = {.name = "kiln_commit", .sql = "COMMIT"};

enum step_kind { STEP_PREPARE, STEP_BEGIN, STEP_OPENING, STEP_ITEM, STEP_COMMIT };

struct step {
	enum step_kind kind;
	const struct pg_statement *statement;
	size_t item;
};

#define MAX_STEPS (2 * (PG_PIPELINE_MAX + 3))
/* Results at the place of the sync: an error of the implicit commit, NULLs, the sync itself. */
#define MAX_SYNC_RESULTS 8

struct exchange {
	struct pg_conn *conn;
	const struct pg_pipeline *pipeline;
	PGresult **results;
	struct step steps[MAX_STEPS];
	size_t len;
	size_t sent; /* of the steps: they went ahead */
	bool begins, commits;
	bool may_commit; /* an answer that is lost leaves the fate unknown */
	bool failed;     /* err is set by a statement */
	bool lost;       /* the connection is of no use any more */
	int64_t deadline_ms;
};

/* Open addressing; a slot that is free ends the search. */
static size_t slot_of(const struct pg_conn *conn, const struct pg_statement *statement)
{
	size_t slot = ((uintptr_t)statement >> 4) * 0x9E3779B97F4A7C15u >> 40;
	for (;; slot++) {
		slot %= PG_PREPARED_SLOTS;
		if (conn->prepared[slot] == NULL || conn->prepared[slot] == statement)
			return slot;
	}
}

static bool is_prepared(const struct pg_conn *conn, const struct pg_statement *statement)
{
	return conn->prepared[slot_of(conn, statement)] != NULL;
}

static void set_prepared(struct pg_conn *conn, const struct pg_statement *statement)
{
	conn->prepared[slot_of(conn, statement)] = statement;
	conn->prepared_len++;
	CHECK(conn->prepared_len < PG_PREPARED_SLOTS);
}

static void add_step(struct exchange *exchange, enum step_kind kind, const struct pg_statement *statement, size_t item)
{
	if (!is_prepared(exchange->conn, statement)) {
		bool under_way = false;
		for (size_t i = 0; i < exchange->len; i++)
			under_way |= exchange->steps[i].statement == statement;
		if (!under_way)
			exchange->steps[exchange->len++] = (struct step){.kind = STEP_PREPARE, .statement = statement};
	}
	exchange->steps[exchange->len++] = (struct step){.kind = kind, .statement = statement, .item = item};
}

static bool only_reads(const struct pg_statement *statement)
{
	return strncasecmp(statement->sql, "select", 6) == 0;
}

/* The same when it is sent ahead and when its results are read: nothing is prepared between. */
static void plan_beginning(struct exchange *exchange)
{
	const struct pg_conn *conn = exchange->conn;
	bool sent = conn->transaction == PG_TRANSACTION_SENT;
	if (exchange->begins || sent)
		add_step(exchange, STEP_BEGIN, &begin_statement, 0);
	if (conn->opening.statement != NULL && (sent || conn->transaction == PG_TRANSACTION_DUE))
		add_step(exchange, STEP_OPENING, conn->opening.statement, 0);
}

static void plan(struct exchange *exchange)
{
	const struct pg_pipeline *pipeline = exchange->pipeline;
	plan_beginning(exchange);
	bool in_transaction = exchange->begins || pg_transaction_begun(exchange->conn);
	if (exchange->conn->transaction == PG_TRANSACTION_SENT)
		exchange->sent = exchange->len;
	exchange->may_commit = exchange->commits;
	for (size_t i = 0; i < pipeline->len; i++) {
		add_step(exchange, STEP_ITEM, pipeline->items[i].statement, i);
		exchange->may_commit |= !in_transaction && !only_reads(pipeline->items[i].statement);
	}
	if (exchange->commits)
		add_step(exchange, STEP_COMMIT, &commit_statement, 0);
}

/* libpq's answer: 0 is the failure. */
static int send_step(const struct exchange *exchange, const struct step *step)
{
	const struct pg_pipeline *pipeline = exchange->pipeline;
	const struct pg_conn *conn = exchange->conn;
	const char *const *params = NULL;
	const int *lengths = NULL, *formats = NULL;
	size_t params_len = 0;
	if (step->kind == STEP_PREPARE)
		return PQsendPrepare(conn->pg, step->statement->name, step->statement->sql, 0, NULL);
	if (step->kind == STEP_OPENING) {
		params = conn->opening.params;
		params_len = conn->opening.params_len;
	} else if (step->kind == STEP_ITEM) {
		size_t first = pipeline->items[step->item].first_param;
		params = &pipeline->params[first];
		lengths = &pipeline->lengths[first];
		formats = &pipeline->formats[first];
		params_len = pipeline->items[step->item].params_len;
	}
	return PQsendQueryPrepared(conn->pg, step->statement->name, (int)params_len, params, lengths, formats, 0);
}

static int send_steps(struct exchange *exchange, struct error *err)
{
	if (exchange->sent == 0 && PQenterPipelineMode(exchange->conn->pg) == 0)
		return pg_connection_error(exchange->conn, ERR_UNAVAILABLE, err);
	for (size_t i = exchange->sent; i < exchange->len; i++) {
		if (send_step(exchange, &exchange->steps[i]) == 0)
			return pg_connection_error(exchange->conn, ERR_UNAVAILABLE, err);
	}
	return 0;
}

/* PQgetResult within the deadline. -1: lost. */
static int next_result(struct exchange *exchange, PGresult **ret_result, struct error *err)
{
	if (pg_wait_result(exchange->conn, exchange->deadline_ms, err) < 0)
		return -1;
	*ret_result = PQgetResult(exchange->conn->pg);
	return 0;
}

static void statement_failed(struct exchange *exchange, const PGresult *result, const char *name, struct error *err)
{
	if (exchange->failed)
		return;
	(void)pg_result_error(result, name, err); /* is the failure, which is noted */
	exchange->failed = true;
	if (strcmp(err->sqlstate, "0A000") == 0 || strcmp(err->sqlstate, "26000") == 0)
		exchange->conn->stale = true;
}

static void step_failed(struct exchange *exchange, const struct step *step, const PGresult *result, struct error *err)
{
	exchange->conn->opening_failed |= step->kind == STEP_OPENING;
	statement_failed(exchange, result, step->statement->name, err);
}

/* What went ahead is judged here, the others by the server. */
static void check_opening(struct exchange *exchange, PGresult *result, struct error *err)
{
	struct pg_conn *conn = exchange->conn;
	if (!conn->opening.ahead || exchange->failed || strtoll(PQcmdTuples(result), NULL, 10) == conn->opening.rows)
		return;
	(void)error_set(err, ERR_CONFLICT, "%s: the condition does not hold", conn->opening.statement->name); /* noted */
	exchange->failed = true;
	conn->opening_failed = true;
}

static void step_done(struct exchange *exchange, const struct step *step, PGresult *result, struct error *err)
{
	struct pg_conn *conn = exchange->conn;
	if (step->kind == STEP_PREPARE) {
		set_prepared(conn, step->statement);
	} else if (step->kind == STEP_BEGIN) {
		conn->transaction = PG_TRANSACTION_OPEN;
	} else if (step->kind == STEP_OPENING) {
		check_opening(exchange, result, err);
	} else if (step->kind == STEP_COMMIT) {
		conn->transaction = PG_NO_TRANSACTION;
	} else {
		exchange->results[step->item] = result;
		return;
	}
	PQclear(result);
}

/* -1: the connection is lost. */
static int read_step(struct exchange *exchange, const struct step *step, struct error *err)
{
	PGresult *result;
	if (next_result(exchange, &result, err) < 0)
		return -1;
	ExecStatusType status = PQresultStatus(result);
	if (status == PGRES_COMMAND_OK && step->kind == STEP_COMMIT && strcmp(PQcmdStatus(result), "COMMIT") != 0) {
		/* COMMIT of an aborted transaction says ROLLBACK and no error. */
		if (!exchange->failed)
			(void)error_set(err, ERR_INTERNAL, "commit: the transaction had failed before"); /* is the failure */
		exchange->failed = true;
		exchange->conn->transaction = PG_NO_TRANSACTION;
		PQclear(result);
	} else if (status == PGRES_COMMAND_OK || status == PGRES_TUPLES_OK) {
		step_done(exchange, step, result, err);
	} else if (status == PGRES_PIPELINE_ABORTED) {
		PQclear(result);
	} else if (status == PGRES_FATAL_ERROR) {
		bool is_connection = PQstatus(exchange->conn->pg) != CONNECTION_OK;
		/* A session that the server ends while it commits may have committed. */
		if (!is_connection || (step->kind != STEP_COMMIT && PQresultErrorField(result, PG_DIAG_SQLSTATE) != NULL))
			step_failed(exchange, step, result, err);
		else if (!exchange->failed)
			(void)pg_result_error(result, step->statement->name, err); /* what is made of it: lost() */
		PQclear(result);
		if (is_connection)
			return -1;
	} else {
		/* COPY in a pipeline never ends, and nothing else is expected: give the connection up. */
		PQclear(result);
		return error_set(err, ERR_INTERNAL, "%s: unexpected result %s", step->statement->name, PQresStatus(status));
	}
	if (next_result(exchange, &result, err) < 0)
		return -1;
	if (result != NULL) {
		PQclear(result);
		return error_set(err, ERR_INTERNAL, "%s: more than one result", step->statement->name);
	}
	return 0;
}

static int read_sync(struct exchange *exchange, struct error *err)
{
	for (int i = 0; i < MAX_SYNC_RESULTS; i++) {
		PGresult *result;
		if (next_result(exchange, &result, err) < 0)
			return -1;
		ExecStatusType status = result == NULL ? PGRES_EMPTY_QUERY : PQresultStatus(result);
		if (status == PGRES_FATAL_ERROR && PQstatus(exchange->conn->pg) != CONNECTION_OK) {
			if (!exchange->failed)
				(void)pg_result_error(result, "commit", err); /* what is made of it: lost() */
			PQclear(result);
			return -1;
		}
		if (status == PGRES_FATAL_ERROR) /* the implicit commit failed, for instance by a deferred constraint */
			statement_failed(exchange, result, "commit", err);
		PQclear(result);
		if (status == PGRES_PIPELINE_SYNC)
			return 0;
	}
	return error_set(err, ERR_INTERNAL, "postgres: no end of the pipeline");
}

static int talk(struct exchange *exchange, struct error *err)
{
	if (send_steps(exchange, err) < 0)
		return -1;
	if (PQpipelineSync(exchange->conn->pg) == 0)
		return pg_connection_error(exchange->conn, ERR_UNAVAILABLE, err);
	for (size_t i = 0; i < exchange->len; i++) {
		if (read_step(exchange, &exchange->steps[i], err) < 0)
			return -1;
	}
	if (read_sync(exchange, err) < 0)
		return -1;
	if (PQexitPipelineMode(exchange->conn->pg) == 0)
		return pg_connection_error(exchange->conn, ERR_UNAVAILABLE, err);
	return 0;
}

/* The connection is gone. What is known of the fate: a statement that failed before stands; otherwise a commit may have
 * happened. */
static void lost(struct exchange *exchange, struct error *err)
{
	if (!exchange->failed) {
		err->kind = exchange->may_commit ? ERR_UNKNOWN : ERR_UNAVAILABLE;
		(void)error_prefix(err, exchange->may_commit ? "fate unknown"
													 : "connection lost"); /* err is returned by the caller */
	}
	pg_disconnect(exchange->conn);
	if (exchange->commits)
		exchange->conn->transaction = PG_NO_TRANSACTION;
}

int pg_exchange(struct pg_conn *conn, const struct pg_pipeline *pipeline, PGresult **results, struct error *err)
{
	int64_t now_ms = clock_boot_ms();
	struct exchange exchange = {
		.conn = conn,
		.pipeline = pipeline,
		.results = results,
		.begins = pipeline->begins || conn->transaction == PG_TRANSACTION_DUE,
		.commits = pipeline->commits,
		.deadline_ms = now_ms + conn->settings.call_timeout_ms,
	};
	err->sqlstate[0] = '\0';
	plan(&exchange);
	atomic_store(&conn->busy_since_ms, now_ms);
	int result = talk(&exchange, err);
	if (result < 0)
		lost(&exchange, err);
	atomic_store(&conn->busy_since_ms, 0);
	return result < 0 || exchange.failed ? -1 : 0;
}

int pg_send_ahead(struct pg_conn *conn, struct error *err)
{
	struct exchange exchange = {.conn = conn, .begins = true};
	plan_beginning(&exchange);
	conn->transaction = PG_TRANSACTION_SENT;
	if (send_steps(&exchange, err) == 0 && PQflush(conn->pg) >= 0) /* what does not fit goes with the rest */
		return 0;
	(void)pg_connection_error(conn, ERR_UNAVAILABLE, err); /* is the failure */
	pg_disconnect(conn);
	return -1;
}
