/* The connection layer against a real Postgres. */
#include "table_t.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/alloc.h"
#include "common/pg/pool.h"
#include "kiln_pg_sql.h"

static const struct pg_statement select_int = {.name = "select_int", .sql = "SELECT $1::int + 1 AS n"};
static const struct pg_statement count_t = {.name = "count_t", .sql = "SELECT count(*) AS n FROM t"};
static const struct pg_statement all_t = {.name = "all_t", .sql = "SELECT * FROM t"};
static const struct pg_statement bad_syntax = {.name = "bad_syntax", .sql = "SELEC 1"};
static const struct pg_statement divide = {.name = "divide", .sql = "SELECT 1 / $1::int"};
static const struct pg_statement slow = {.name = "slow", .sql = "SELECT pg_sleep($1::float8)"};
static const struct pg_statement end_me = {.name = "end_me", .sql = "SELECT pg_terminate_backend(pg_backend_pid())"};
static const struct pg_statement slow_insert = {.name = "slow_insert",
												.sql = "INSERT INTO t SELECT 1 FROM pg_sleep($1::float8)"};
static const struct pg_statement copy = {.name = "copy", .sql = "COPY t TO STDOUT"};

static void every_statement_prepares(void **state)
{
	(void)state;
	struct pg_settings settings = test_pg(&database);
	struct pg_conn *conn = pg_conn_new(&settings);
	struct error err = ERROR_INIT;
	assert_ok(pg_connect(conn, &err), err);
	for (size_t i = 0; kiln_pg_sql_all[i] != NULL; i++) {
		char *sql = xasprintf("PREPARE test_%zu AS %s", i, kiln_pg_sql_all[i]->sql);
		if (strcmp(kiln_pg_sql_all[i]->name, "outbox_notify") == 0)
			sql[0] = '\0'; /* SQL's PREPARE does not take NOTIFY; the protocol does */
		if (pg_run(conn, sql, &err) < 0)
			fail_msg("%s: %s", kiln_pg_sql_all[i]->name, err.message);
		free(sql);
	}
	pg_conn_free(conn);
}

static void a_query_prepares_once_and_runs_again(void **state)
{
	(void)state;
	struct pg_conn *conn = open_conn(0);
	struct error err = ERROR_INIT;
	for (int i = 0; i < 3; i++) {
		PGresult *result;
		assert_ok(pg_query(conn, &select_int, PG_PARAMS("41"), 1, &result, &err), err);
		assert_int_equal(pg_int(result, 0, "n", 0), 42);
		PQclear(result);
	}
	pg_conn_free(conn);
}

static void errors_have_their_kind_and_sqlstate(void **state)
{
	(void)state;
	struct pg_conn *conn = open_conn(0);
	struct error err = ERROR_INIT;
	assert_int_equal(pg_query(conn, &bad_syntax, NULL, 0, NULL, &err), -1);
	assert_string_equal(err.sqlstate, "42601");
	assert_int_equal(err.kind, ERR_INTERNAL);
	assert_int_equal(pg_query(conn, &divide, PG_PARAMS("0"), 1, NULL, &err), -1);
	assert_string_equal(err.sqlstate, "22012");
	assert_int_equal(err.kind, ERR_INVALID);
	assert_ok(pg_query(conn, &insert_t, PG_PARAMS("1"), 1, NULL, &err), err);
	assert_int_equal(pg_query(conn, &insert_t, PG_PARAMS("1"), 1, NULL, &err), -1);
	assert_string_equal(err.sqlstate, "23505");
	assert_int_equal(err.kind, ERR_CONFLICT);
	/* The connection is as good as before. */
	assert_ok(pg_query(conn, &count_t, NULL, 0, NULL, &err), err);
	assert_int_equal(pg_generation(conn), 1);
	pg_conn_free(conn);
}

static void begin_travels_with_the_first_statement(void **state)
{
	(void)state;
	struct pg_conn *conn = open_conn(0);
	struct error err = ERROR_INIT;
	assert_ok(pg_begin(conn, &err), err);
	assert_int_equal(PQtransactionStatus(pg_raw(conn)), PQTRANS_IDLE);
	assert_ok(pg_query(conn, &insert_t, PG_PARAMS("1"), 1, NULL, &err), err);
	assert_int_equal(PQtransactionStatus(pg_raw(conn)), PQTRANS_INTRANS);
	assert_int_equal(rows(), 0);
	assert_ok(pg_commit(conn, &err), err);
	assert_int_equal(rows(), 1);
	assert_ok(pg_begin(conn, &err), err);
	assert_ok(pg_commit(conn, &err), err); /* nothing happened: nothing to commit */
	pg_conn_free(conn);
}

static void rollback_takes_everything_back(void **state)
{
	(void)state;
	struct pg_conn *conn = open_conn(0);
	struct error err = ERROR_INIT;
	assert_ok(pg_begin(conn, &err), err);
	assert_ok(pg_run(conn, "INSERT INTO t VALUES (7)", &err), err);
	assert_ok(pg_query(conn, &insert_t, PG_PARAMS("1"), 1, NULL, &err), err);
	pg_rollback(conn);
	assert_int_equal(rows(), 0);
	pg_rollback(conn); /* harmless */
	pg_conn_free(conn);
}

static void commit_of_a_failed_transaction_is_an_error(void **state)
{
	(void)state;
	struct pg_conn *conn = open_conn(0);
	struct error err = ERROR_INIT;
	assert_ok(pg_begin(conn, &err), err);
	assert_ok(pg_query(conn, &insert_t, PG_PARAMS("1"), 1, NULL, &err), err);
	assert_int_equal(pg_query(conn, &divide, PG_PARAMS("0"), 1, NULL, &err), -1);
	assert_int_equal(pg_commit(conn, &err), -1);
	pg_rollback(conn);
	assert_int_equal(rows(), 0);
	pg_conn_free(conn);
}

static void a_pipeline_gives_results_in_order(void **state)
{
	(void)state;
	struct pg_conn *conn = open_conn(0);
	struct error err = ERROR_INIT;
	struct pg_pipeline pipeline;
	PGresult *results[PG_PIPELINE_MAX];
	pg_pipeline_init(&pipeline, conn);
	pg_pipeline_begin_tx(&pipeline);
	pg_pipeline_add(&pipeline, &insert_t, PG_PARAMS("1"), 1);
	pg_pipeline_add(&pipeline, &count_t, NULL, 0);
	pg_pipeline_add(&pipeline, &insert_t, PG_PARAMS("2"), 1);
	pg_pipeline_add(&pipeline, &count_t, NULL, 0);
	pg_pipeline_commit_tx(&pipeline);
	assert_ok(pg_pipeline_run(&pipeline, results, &err), err);
	assert_int_equal(pg_int(results[1], 0, "n", -1), 1);
	assert_int_equal(pg_int(results[3], 0, "n", -1), 2);
	pg_results_clear(results);
	assert_int_equal(PQtransactionStatus(pg_raw(conn)), PQTRANS_IDLE);
	assert_int_equal(rows(), 2);
	pg_conn_free(conn);
}

static void a_failed_pipeline_leaves_nothing(void **state)
{
	(void)state;
	struct pg_conn *conn = open_conn(0);
	struct error err = ERROR_INIT;
	struct pg_pipeline pipeline;
	PGresult *results[PG_PIPELINE_MAX];
	for (int with_transaction = 0; with_transaction < 2; with_transaction++) {
		pg_pipeline_init(&pipeline, conn);
		if (with_transaction == 1)
			pg_pipeline_begin_tx(&pipeline);
		pg_pipeline_add(&pipeline, &insert_t, PG_PARAMS("1"), 1);
		pg_pipeline_add(&pipeline, &divide, PG_PARAMS("0"), 1);
		pg_pipeline_add(&pipeline, &insert_t, PG_PARAMS("2"), 1);
		if (with_transaction == 1)
			pg_pipeline_commit_tx(&pipeline);
		assert_int_equal(pg_pipeline_run(&pipeline, results, &err), -1);
		assert_string_equal(err.sqlstate, "22012");
		assert_null(results[2]);
		pg_results_clear(results);
		assert_int_equal(rows(), 0);
	}
	/* Rolled back already: the next one works. */
	assert_ok(pg_query(conn, &insert_t, PG_PARAMS("1"), 1, NULL, &err), err);
	pg_conn_free(conn);
}

static void a_deferred_constraint_fails_the_commit(void **state)
{
	(void)state;
	struct pg_conn *conn = open_conn(0);
	struct error err = ERROR_INIT;
	assert_ok(pg_query(conn, &insert_t, PG_PARAMS("1"), 1, NULL, &err), err);
	assert_ok(pg_begin(conn, &err), err);
	assert_ok(pg_run(conn, "SET CONSTRAINTS ALL DEFERRED", &err), err);
	assert_ok(pg_query(conn, &insert_t, PG_PARAMS("1"), 1, NULL, &err), err);
	assert_int_equal(pg_commit(conn, &err), -1);
	assert_string_equal(err.sqlstate, "23505");
	pg_rollback(conn);
	assert_int_equal(rows(), 1);
	pg_conn_free(conn);
}

static void a_lost_connection_is_unavailable_inside_of_a_transaction(void **state)
{
	(void)state;
	struct pg_conn *conn = open_conn(0);
	struct error err = ERROR_INIT;
	assert_ok(pg_begin(conn, &err), err);
	assert_ok(pg_query(conn, &insert_t, PG_PARAMS("1"), 1, NULL, &err), err);
	assert_int_equal(pg_query(conn, &end_me, NULL, 0, NULL, &err), -1);
	assert_int_equal(err.kind, ERR_UNAVAILABLE);
	/* Never on a new connection in the middle of a transaction. */
	assert_int_equal(pg_query(conn, &insert_t, PG_PARAMS("2"), 1, NULL, &err), -1);
	assert_int_equal(err.kind, ERR_UNAVAILABLE);
	assert_int_equal(pg_commit(conn, &err), -1);
	pg_rollback(conn);
	assert_int_equal(rows(), 0);
	assert_ok(pg_query(conn, &insert_t, PG_PARAMS("2"), 1, NULL, &err), err);
	assert_int_equal(pg_generation(conn), 2);
	pg_conn_free(conn);
}

/* A transaction that has inserted. With short time-outs it may need several tries. */
static bool begins_and_inserts(struct pg_conn *conn)
{
	struct error err = ERROR_INIT;
	pg_rollback(conn);
	return pg_begin(conn, &err) == 0 && pg_query(conn, &insert_t, PG_PARAMS("1"), 1, NULL, &err) == 0;
}

static void a_lost_answer_to_a_commit_is_unknown(void **state)
{
	(void)state;
	struct pg_conn *conn = open_conn(300);
	struct pg_conn *other = open_conn(0);
	struct error err = ERROR_INIT;
	/* A deferred trigger makes COMMIT itself wait, for the lock that another session has. */
	test_sql(&database,
			 "CREATE FUNCTION wait() RETURNS trigger LANGUAGE plpgsql AS "
			 "$$ BEGIN PERFORM pg_advisory_xact_lock(1); RETURN NULL; END $$; CREATE CONSTRAINT TRIGGER slow_commit "
			 "AFTER INSERT ON t DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION wait()");
	assert_ok(pg_run(other, "SELECT pg_advisory_lock(1)", &err), err);
	assert_becomes(begins_and_inserts(conn), 60000);
	assert_int_equal(pg_commit(conn, &err), -1);
	assert_int_equal(err.kind, ERR_UNKNOWN);
	pg_rollback(conn);
	assert_int_equal(rows(), 0);
	assert_ok(pg_run(other, "SELECT pg_advisory_unlock(1)", &err), err);
	assert_becomes(rows() == 1, 60000); /* it did happen */
	test_sql(&database, "DROP TRIGGER slow_commit ON t; DROP FUNCTION wait()");
	pg_conn_free(other);
	pg_conn_free(conn);
}

static void a_call_ends_at_its_deadline(void **state)
{
	(void)state;
	struct pg_settings settings = test_pg(&database);
	settings.call_timeout_ms = 200;
	settings.connect_timeout_ms = settings.statement_timeout_ms = 60000;
	struct pg_conn *conn = pg_conn_new(&settings);
	struct error err = ERROR_INIT;
	int64_t began_ms = test_now_ms();
	assert_int_equal(pg_query(conn, &slow, PG_PARAMS("60"), 1, NULL, &err), -1);
	assert_int_equal(err.kind, ERR_UNAVAILABLE); /* begins with SELECT */
	assert_int_equal(pg_query(conn, &slow_insert, PG_PARAMS("60"), 1, NULL, &err), -1);
	assert_int_equal(err.kind, ERR_UNKNOWN);       /* commits by itself */
	assert_true(test_now_ms() - began_ms < 50000); /* else each takes as long */
	assert_becomes(pg_query(conn, &select_int, PG_PARAMS("1"), 1, NULL, &err) == 0, 60000);
	pg_conn_free(conn);
	test_sql(&database,
			 "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE datname = current_database() "
			 "AND query LIKE '%pg_sleep%' AND pid <> pg_backend_pid()"); /* they lock the table */
}

static void an_idle_connection_that_died_is_replaced_unnoticed(void **state)
{
	(void)state;
	struct pg_conn *conn = open_conn(0);
	struct error err = ERROR_INIT;
	assert_ok(pg_query(conn, &select_int, PG_PARAMS("1"), 1, NULL, &err), err);
	char *sql = xasprintf("SELECT pg_terminate_backend(%d, 5000)", pg_backend_pid(conn));
	test_sql(&database, sql);
	free(sql);
	assert_ok(pg_query(conn, &insert_t, PG_PARAMS("1"), 1, NULL, &err), err);
	assert_int_equal(pg_generation(conn), 2);
	pg_conn_free(conn);
}

static void a_changed_schema_prepares_again(void **state)
{
	(void)state;
	struct pg_conn *conn = open_conn(0);
	struct error err = ERROR_INIT;
	PGresult *result;
	assert_ok(pg_query(conn, &all_t, NULL, 0, NULL, &err), err);
	test_sql(&database, "ALTER TABLE t ADD COLUMN m int");
	assert_ok(pg_query(conn, &all_t, NULL, 0, &result, &err), err);
	assert_int_equal(PQnfields(result), 2);
	PQclear(result);
	test_sql(&database, "ALTER TABLE t DROP COLUMN m");
	assert_ok(pg_begin(conn, &err), err);
	assert_ok(pg_query(conn, &all_t, NULL, 0, NULL, &err), err);
	assert_ok(pg_commit(conn, &err), err);
	pg_conn_free(conn);
}

static void copy_does_not_hang(void **state)
{
	(void)state;
	struct pg_conn *conn = open_conn(0);
	struct error err = ERROR_INIT;
	assert_int_equal(pg_query(conn, &copy, NULL, 0, NULL, &err), -1);
	assert_ok(pg_query(conn, &select_int, PG_PARAMS("1"), 1, NULL, &err), err);
	pg_conn_free(conn);
}

static void large_parameters_and_results_pass(void **state)
{
	(void)state;
	static const struct pg_statement echo = {.name = "echo", .sql = "SELECT $1::text AS text, length($1::text) AS n"};
	struct pg_settings settings = test_pg(&database);
	settings.call_timeout_ms = settings.statement_timeout_ms = 60000; /* 120 MiB, also where each step is dear */
	struct pg_conn *conn = pg_conn_new(&settings);
	struct error err = ERROR_INIT;
	size_t len = 20UL * 1024 * 1024;
	char *text = xmalloc(len + 1);
	memset(text, 'x', len);
	text[len] = '\0';
	struct pg_pipeline pipeline;
	PGresult *results[PG_PIPELINE_MAX];
	pg_pipeline_init(&pipeline, conn);
	for (int i = 0; i < 3; i++)
		pg_pipeline_add(&pipeline, &echo, PG_PARAMS(text), 1);
	assert_ok(pg_pipeline_run(&pipeline, results, &err), err);
	for (int i = 0; i < 3; i++)
		assert_int_equal(pg_int(results[i], 0, "n", 0), len);
	pg_results_clear(results);
	free(text);
	pg_conn_free(conn);
}

static void arrays_come_back_as_they_were(void **state)
{
	(void)state;
	static const struct pg_statement echo = {
		.name = "echo",
		.sql = "SELECT a, b, encode(c, 'hex') AS c FROM unnest($1::text[], $2::bigint[], $3::bytea[]) AS u (a, b, c)"};
	const char *const texts[] = {"plain", "",   "quote\" back\\slash", "{brace},NULL",
								 "NULL",  NULL, "\xc3\xa9 \n\t'",      "}"};
	struct pg_array a;
	struct pg_array b;
	struct pg_array c;
	pg_array_init(&a, 4096);
	pg_array_init(&b, 4096);
	pg_array_init(&c, 4096);
	struct pg_conn *conn = open_conn(0);
	struct error err = ERROR_INIT;
	PGresult *result;
	for (int round = 0; round < 2; round++) {
		for (size_t i = 0; i < ARRAY_LEN(texts); i++) {
			pg_array_add(&a, texts[i]);
			pg_array_add_int(&b, INT64_MIN + (int64_t)i);
			pg_array_add_bytes(&c, "\x00\xff\\\"", i % 5);
			(void)pg_array_text(&a); /* may be looked at in between */
		}
		assert_ok(
			pg_query(conn, &echo, PG_PARAMS(pg_array_text(&a), pg_array_text(&b), pg_array_text(&c)), 3, &result, &err),
			err);
		assert_int_equal(PQntuples(result), ARRAY_LEN(texts));
		for (size_t i = 0; i < ARRAY_LEN(texts); i++) {
			const char *text = pg_text(result, (int)i, "a");
			if (texts[i] == NULL)
				assert_null(text);
			else
				assert_string_equal(text, texts[i]);
			assert_int_equal(pg_int(result, (int)i, "b", 0), INT64_MIN + (int64_t)i);
		}
		assert_string_equal(pg_text(result, 4, "c"), "00ff5c22");
		PQclear(result);
		pg_array_clear(&a);
		pg_array_clear(&b);
		pg_array_clear(&c);
	}
	assert_ok(
		pg_query(conn, &echo, PG_PARAMS(pg_array_text(&a), pg_array_text(&b), pg_array_text(&c)), 3, &result, &err),
		err);
	assert_int_equal(PQntuples(result), 0);
	PQclear(result);
	pg_array_release(&a);
	pg_array_release(&b);
	pg_array_release(&c);
	pg_conn_free(conn);
}

/* Of every type: what was added, NULL, and (all of them empty) nothing. */
static void binary_arrays_come_back_as_they_were(void **state)
{
	(void)state;
	static const struct pg_statement echo = {
		.name = "echo_binary",
		.sql =
			"SELECT a, b, c, d, e, f, g, encode(h, 'hex') AS h FROM unnest($1::text[], $2::json[], $3::uuid[], "
			"$4::boolean[], "
			"$5::smallint[], $6::integer[], $7::bigint[], $8::bytea[]) AS u (a, b, c, d, e, f, g, h)"};
	enum { TEXT, JSON, UUID, BOOL, INT2, INT4, INT8, BYTES, COLUMNS };
	static const enum pg_element elements[] = {PG_TEXT, PG_JSON, PG_UUID, PG_BOOL, PG_INT2, PG_INT4, PG_INT8, PG_BYTEA};
	static const char *const expected[] = {"quote\" back\\slash \xc3\xa9",
										   "{\"a\": [\"}\", 1]}",
										   "0190a1b2-c3d4-7e5f-8a9b-acbdcedfe0f1",
										   "t",
										   "-32768",
										   "2147483647",
										   "-9223372036854775808",
										   "00ff5c22"};
	static const char *const none[COLUMNS];
	struct pg_array arrays[COLUMNS];
	struct pg_conn *conn = open_conn(0);
	struct error err = ERROR_INIT;
	for (size_t i = 0; i < COLUMNS; i++)
		pg_array_init_binary(&arrays[i], elements[i], 4096);
	for (int rows = 2; rows >= 0; rows -= 2) { /* nothing at last */
		struct pg_pipeline pipeline;
		PGresult *results[PG_PIPELINE_MAX];
		if (rows > 0) {
			pg_array_add(&arrays[TEXT], expected[TEXT]);
			pg_array_add_len(&arrays[JSON], expected[JSON], strlen(expected[JSON]));
			pg_array_add(&arrays[UUID], expected[UUID]);
			pg_array_add_bool(&arrays[BOOL], true);
			pg_array_add_int(&arrays[INT2], INT16_MIN);
			pg_array_add_int(&arrays[INT4], INT32_MAX);
			pg_array_add_int(&arrays[INT8], INT64_MIN);
			pg_array_add_bytes(&arrays[BYTES], "\x00\xff\\\"", 4);
			for (size_t i = 0; i < COLUMNS; i++)
				pg_array_add(&arrays[i], NULL);
		}
		pg_pipeline_init(&pipeline, conn);
		pg_pipeline_add(&pipeline, &echo, none, COLUMNS);
		for (size_t i = 0; i < COLUMNS; i++)
			pg_pipeline_array(&pipeline, i, &arrays[i]);
		assert_ok(pg_pipeline_run(&pipeline, results, &err), err);
		assert_int_equal(PQntuples(results[0]), rows);
		for (int i = 0; i < COLUMNS && rows > 0; i++) {
			assert_string_equal(PQgetvalue(results[0], 0, i), expected[i]);
			assert_true(PQgetisnull(results[0], 1, i));
		}
		pg_results_clear(results);
		for (size_t i = 0; i < COLUMNS; i++)
			pg_array_clear(&arrays[i]);
	}
	for (size_t i = 0; i < COLUMNS; i++)
		pg_array_release(&arrays[i]);
	pg_conn_free(conn);
}

static void bytes_are_read_whatever_form_the_database_prefers(void **state)
{
	(void)state;
	static const struct pg_statement bytes = {.name = "bytes", .sql = "SELECT '\\x00ff5c'::bytea AS b"};
	test_sql(&database,
			 "DO $$BEGIN EXECUTE format('ALTER DATABASE %I SET bytea_output TO escape', current_database()); END$$");
	struct pg_conn *conn = open_conn(0);
	struct error err = ERROR_INIT;
	PGresult *result;
	assert_ok(pg_query(conn, &bytes, NULL, 0, &result, &err), err);
	struct buffer read;
	buffer_init(&read, 16);
	assert_int_equal(pg_bytes(result, 0, "b", &read), 0);
	assert_int_equal(read.len, 3);
	assert_memory_equal(read.data, "\0\xff\\", 3);
	buffer_release(&read);
	PQclear(result);
	pg_conn_free(conn);
	test_sql(&database, "DO $$BEGIN EXECUTE format('ALTER DATABASE %I RESET bytea_output', current_database()); END$$");
}

static void a_pool_is_bounded_and_rolls_back(void **state)
{
	(void)state;
	struct pg_settings settings = test_pg(&database);
	struct pg_pool *pool = pg_pool_new(&settings, 2);
	struct error err = ERROR_INIT;
	struct pg_conn *first;
	struct pg_conn *second;
	struct pg_conn *third;
	assert_ok(pg_pool_take(pool, 0, &first, &err), err);
	assert_ok(pg_pool_take(pool, 0, &second, &err), err);
	assert_int_equal(pg_pool_take(pool, 20, &third, &err), -1);
	assert_int_equal(err.kind, ERR_LIMIT);
	assert_ok(pg_begin(first, &err), err);
	assert_ok(pg_query(first, &insert_t, PG_PARAMS("1"), 1, NULL, &err), err);
	pg_pool_give(pool, first);
	assert_int_equal(rows(), 0);
	assert_ok(pg_pool_take(pool, 0, &third, &err), err);
	assert_ok(pg_query(third, &insert_t, PG_PARAMS("1"), 1, NULL, &err), err);
	pg_pool_give(pool, second);
	pg_pool_give(pool, third);
	pg_pool_free(pool);
}

static void a_wrong_address_is_unavailable_and_keeps_its_password(void **state)
{
	(void)state;
	const struct pg_settings settings = {.url = "postgresql://u:geheim@127.0.0.1:1/x", .connect_timeout_ms = 1000};
	struct pg_conn *conn = pg_conn_new(&settings);
	struct error err = ERROR_INIT;
	assert_int_equal(pg_connect(conn, &err), -1);
	assert_int_equal(err.kind, ERR_UNAVAILABLE);
	assert_null(strstr(err.message, "geheim"));
	pg_conn_free(conn);
	const struct pg_settings wrong = {.url = "postgresql://u:geheim@127.0.0.1:1/x?nonsense=1"};
	conn = pg_conn_new(&wrong);
	assert_int_equal(pg_connect(conn, &err), -1);
	assert_null(strstr(err.message, "geheim"));
	pg_conn_free(conn);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(every_statement_prepares, empty),
		cmocka_unit_test_setup(a_query_prepares_once_and_runs_again, empty),
		cmocka_unit_test_setup(errors_have_their_kind_and_sqlstate, empty),
		cmocka_unit_test_setup(begin_travels_with_the_first_statement, empty),
		cmocka_unit_test_setup(rollback_takes_everything_back, empty),
		cmocka_unit_test_setup(commit_of_a_failed_transaction_is_an_error, empty),
		cmocka_unit_test_setup(a_pipeline_gives_results_in_order, empty),
		cmocka_unit_test_setup(a_failed_pipeline_leaves_nothing, empty),
		cmocka_unit_test_setup(a_deferred_constraint_fails_the_commit, empty),
		cmocka_unit_test_setup(a_lost_connection_is_unavailable_inside_of_a_transaction, empty),
		cmocka_unit_test_setup(a_lost_answer_to_a_commit_is_unknown, empty),
		cmocka_unit_test_setup(a_call_ends_at_its_deadline, empty),
		cmocka_unit_test_setup(an_idle_connection_that_died_is_replaced_unnoticed, empty),
		cmocka_unit_test_setup(a_changed_schema_prepares_again, empty),
		cmocka_unit_test_setup(copy_does_not_hang, empty),
		cmocka_unit_test_setup(large_parameters_and_results_pass, empty),
		cmocka_unit_test_setup(arrays_come_back_as_they_were, empty),
		cmocka_unit_test_setup(binary_arrays_come_back_as_they_were, empty),
		cmocka_unit_test_setup(bytes_are_read_whatever_form_the_database_prefers, empty),
		cmocka_unit_test_setup(a_pool_is_bounded_and_rolls_back, empty),
		cmocka_unit_test_setup(a_wrong_address_is_unavailable_and_keeps_its_password, empty),
	};
	cmocka_set_test_filter(getenv("KILN_TEST_FILTER")); /* a pattern, or all */
	return cmocka_run_group_tests(tests, set_up, tear_down);
}
