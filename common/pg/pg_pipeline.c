#include <string.h>

#include "common/pg/pg_private.h"

void pg_pipeline_init(struct pg_pipeline *pipeline, struct pg_conn *conn)
{
	pipeline->conn = conn;
	pipeline->len = 0;
	pipeline->params_len = 0;
	pipeline->begins = false;
	pipeline->commits = false;
}

void pg_pipeline_add(struct pg_pipeline *pipeline, const struct pg_statement *statement, const char *const *params,
					 size_t params_len)
{
	CHECK(pipeline->len < PG_PIPELINE_MAX && params_len <= PG_PIPELINE_PARAMS - pipeline->params_len);
	pipeline->items[pipeline->len].statement = statement;
	pipeline->items[pipeline->len].first_param = pipeline->params_len;
	pipeline->items[pipeline->len].params_len = params_len;
	pipeline->len++;
	for (size_t i = 0; i < params_len; i++) {
		pipeline->lengths[pipeline->params_len] = pipeline->formats[pipeline->params_len] = 0;
		pipeline->params[pipeline->params_len++] = params[i];
	}
}

void pg_pipeline_array(struct pg_pipeline *pipeline, size_t index, struct pg_array *array)
{
	CHECK(pipeline->len > 0 && index < pipeline->items[pipeline->len - 1].params_len);
	size_t param = pipeline->items[pipeline->len - 1].first_param + index;
	pipeline->params[param] = pg_array_text(array);
	pipeline->formats[param] = array->element != PG_LITERAL;
	pipeline->lengths[param] = array->element == PG_LITERAL ? 0 : (int)array->buf.len;
}

void pg_pipeline_begin_tx(struct pg_pipeline *pipeline)
{
	CHECK(pipeline->conn->transaction == PG_NO_TRANSACTION);
	pipeline->begins = true;
}

void pg_pipeline_commit_tx(struct pg_pipeline *pipeline)
{
	pipeline->commits = true;
}

static void clear(PGresult **results, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		PQclear(results[i]); /* takes NULL */
		results[i] = NULL;
	}
}

void pg_results_clear(PGresult *results[PG_PIPELINE_MAX])
{
	clear(results, PG_PIPELINE_MAX);
}

/* A schema change has outdated the prepared statements: once more on a new connection, when nothing before depends on
 * the old one. */
static int run(struct pg_conn *conn, const struct pg_pipeline *pipeline, PGresult **results, struct error *err)
{
	for (int attempt = 0;; attempt++) {
		memset(results, 0, pipeline->len * sizeof(void *));
		if (pg_ensure(conn, err) < 0)
			return -1;
		/* COMMIT must not be sent before it is known that the condition holds. */
		const struct pg_pipeline nothing = {.conn = conn};
		if (conn->transaction == PG_TRANSACTION_SENT && pipeline->commits && pg_exchange(conn, &nothing, NULL, err) < 0)
			return -1;
		enum pg_transaction before = conn->transaction;
		if (pg_exchange(conn, pipeline, results, err) == 0)
			return 0;
		if (!conn->stale || before == PG_TRANSACTION_OPEN || before == PG_TRANSACTION_SENT || attempt > 0)
			return -1;
		clear(results, pipeline->len);
		pg_disconnect(conn);
		conn->transaction = before;
		conn->opening_failed = false;
	}
}

int pg_pipeline_run(struct pg_pipeline *pipeline, PGresult *results[PG_PIPELINE_MAX], struct error *err)
{
	struct pg_conn *conn = pipeline->conn;
	memset(results, 0, PG_PIPELINE_MAX * sizeof(void *));
	if (pipeline->begins)
		CHECK(conn->transaction == PG_NO_TRANSACTION);
	if (pipeline->commits && !pipeline->begins)
		CHECK(conn->transaction != PG_NO_TRANSACTION);
	if (run(conn, pipeline, results, err) == 0)
		return 0;
	if (pipeline->begins && pipeline->commits)
		pg_rollback(conn);
	return -1;
}

int pg_query(struct pg_conn *conn, const struct pg_statement *statement, const char *const *params, size_t params_len,
			 PGresult **ret_result, struct error *err)
{
	struct pg_pipeline pipeline;
	pg_pipeline_init(&pipeline, conn);
	pg_pipeline_add(&pipeline, statement, params, params_len);
	PGresult *result;
	if (run(conn, &pipeline, &result, err) < 0) {
		clear(&result, 1);
		return -1;
	}
	if (ret_result != NULL)
		*ret_result = result;
	else
		PQclear(result);
	return 0;
}

int pg_begin_with(struct pg_conn *conn, const struct pg_opening *opening, struct error *err)
{
	CHECK(conn->transaction == PG_NO_TRANSACTION);
	conn->opening = *opening;
	conn->opening_failed = false;
	if (pg_ensure(conn, err) < 0)
		return -1;
	conn->transaction = PG_TRANSACTION_DUE;
	return opening->ahead ? pg_send_ahead(conn, err) : 0;
}

int pg_begin(struct pg_conn *conn, struct error *err)
{
	return pg_begin_with(conn, &(struct pg_opening){.statement = NULL}, err);
}

bool pg_opening_failed(const struct pg_conn *conn)
{
	return conn->opening_failed;
}

bool pg_in_transaction(const struct pg_conn *conn)
{
	return conn->transaction != PG_NO_TRANSACTION;
}

int pg_commit(struct pg_conn *conn, struct error *err)
{
	CHECK(conn->transaction != PG_NO_TRANSACTION);
	if (conn->transaction == PG_TRANSACTION_DUE && conn->opening.statement == NULL) {
		conn->transaction = PG_NO_TRANSACTION;
		return 0;
	}
	struct pg_pipeline pipeline;
	pg_pipeline_init(&pipeline, conn);
	pg_pipeline_commit_tx(&pipeline);
	PGresult *none;
	return run(conn, &pipeline, &none, err);
}

int pg_pipeline_commit(struct pg_pipeline *pipeline, struct error *err)
{
	if (pipeline->len == 0)
		return pg_commit(pipeline->conn, err);
	PGresult *results[PG_PIPELINE_MAX];
	pg_pipeline_commit_tx(pipeline);
	int result = pg_pipeline_run(pipeline, results, err);
	pg_results_clear(results);
	return result;
}

void pg_rollback(struct pg_conn *conn)
{
	struct error err = ERROR_INIT;
	const struct pg_pipeline nothing = {.conn = conn};
	/* Whatever came of what went ahead is undone. */
	if (conn->transaction == PG_TRANSACTION_SENT && pg_exchange(conn, &nothing, NULL, &err) < 0 && !pg_connected(conn))
		pg_disconnect(conn);
	if (conn->transaction == PG_TRANSACTION_OPEN && pg_run(conn, "ROLLBACK", &err) < 0)
		pg_disconnect(conn);
	conn->transaction = PG_NO_TRANSACTION;
	if (conn->stale)
		pg_disconnect(conn);
}
