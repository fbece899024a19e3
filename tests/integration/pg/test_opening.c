/* What a transaction opens with: conditions that travel with its first statement or ahead of it. */
#include "table_t.h"

#include <stdlib.h>

#include "common/base/alloc.h"

static const struct pg_statement raise_n = {.name = "raise_n", .sql = "UPDATE t SET n = n + 10 WHERE n = $1::int"};
static const struct pg_statement expect_none = {
	.name = "expect_none", .sql = "SELECT kiln_expect((SELECT count(*) FROM t), $1::bigint, 'KN001', 'not so')"};

/* A connection, and an opening that goes ahead: it holds when there is a 1, which it raises. */
static struct pg_conn *conn;
static struct error err;
static const char *const one[] = {"1"};
static const struct pg_opening ahead = {
	.statement = &raise_n, .params = one, .params_len = 1, .ahead = true, .rows = 1};

static int open_empty(void **state)
{
	err = (struct error)ERROR_INIT;
	conn = open_conn(0);
	return empty(state);
}

static int open_with_1(void **state)
{
	(void)open_empty(state);
	test_sql(&database, "INSERT INTO t VALUES (1)");
	return 0;
}

static int close_it(void **state)
{
	(void)state;
	pg_conn_free(conn);
	return 0;
}

static void begin_with(const struct pg_opening *opening)
{
	assert_ok(pg_begin_with(conn, opening, &err), err);
}

static int insert(const char *n)
{
	return pg_query(conn, &insert_t, &n, 1, NULL, &err);
}

/* An insert with the COMMIT behind it. */
static int insert_and_commit(const char *n)
{
	struct pg_pipeline pipeline;
	PGresult *results[PG_PIPELINE_MAX];
	pg_pipeline_init(&pipeline, conn);
	pg_pipeline_add(&pipeline, &insert_t, &n, 1);
	pg_pipeline_commit_tx(&pipeline);
	int result = pg_pipeline_run(&pipeline, results, &err);
	pg_results_clear(results);
	return result;
}

static int64_t sum(void)
{
	return test_sql_int(&database, "SELECT sum(n) FROM t");
}

static void a_condition_that_went_ahead_and_holds_is_part_of_the_transaction(void **state)
{
	(void)state;
	begin_with(&ahead);
	assert_true(pg_in_transaction(conn));
	assert_ok(insert("2"), err);
	assert_false(pg_opening_failed(conn));
	assert_ok(pg_commit(conn, &err), err);
	assert_false(pg_in_transaction(conn));
	assert_int_equal(sum(), 13);
}

static void a_condition_that_went_ahead_and_does_not_hold_fails_the_first_call(void **state)
{
	(void)state;
	begin_with(&ahead);
	assert_int_equal(insert("2"), -1);
	assert_int_equal(err.kind, ERR_CONFLICT);
	assert_true(pg_opening_failed(conn));
	pg_rollback(conn);
	assert_int_equal(rows(), 0);
	assert_ok(insert("3"), err); /* the connection is in order */
	assert_int_equal(pg_generation(conn), 1);
}

static void a_commit_is_not_sent_before_the_condition_is_known(void **state)
{
	(void)state;
	begin_with(&ahead);
	assert_int_equal(insert_and_commit("2"), -1);
	assert_int_equal(err.kind, ERR_CONFLICT);
	pg_rollback(conn);
	assert_int_equal(rows(), 0);
	begin_with(&ahead);
	assert_int_equal(pg_commit(conn, &err), -1); /* nor by a commit alone */
	assert_int_equal(err.kind, ERR_CONFLICT);
	pg_rollback(conn);
}

static void what_went_ahead_can_be_taken_back(void **state)
{
	(void)state;
	begin_with(&ahead);
	pg_rollback(conn);
	assert_int_equal(sum(), 1);
	assert_ok(insert("3"), err);
	assert_int_equal(pg_generation(conn), 1);
}

static void a_connection_that_died_after_sending_ahead_is_unavailable(void **state)
{
	(void)state;
	begin_with(&ahead);
	char *end = xasprintf("SELECT pg_terminate_backend(%d, 5000)", pg_backend_pid(conn));
	test_sql(&database, end);
	free(end);
	assert_int_equal(insert("2"), -1);
	assert_int_equal(err.kind, ERR_UNAVAILABLE);
	pg_rollback(conn);
	assert_ok(insert("2"), err); /* by a new one */
	assert_int_equal(sum(), 3);
}

static void an_opening_that_fails_by_itself_voids_all_that_travels_with_it(void **state)
{
	(void)state;
	for (int expected = 0; expected <= 1; expected++) {
		const char *const params[] = {expected == 0 ? "0" : "1"};
		begin_with(&(struct pg_opening){.statement = &expect_none, .params = params, .params_len = 1});
		assert_int_equal(insert_and_commit("2"), expected == 1 ? 0 : -1);
		assert_int_equal(pg_opening_failed(conn), expected == 0);
		if (expected == 0)
			assert_string_equal(err.sqlstate, "KN001");
		pg_rollback(conn);
		assert_int_equal(rows(), expected == 0 ? 1 : 2);
	}
}

#define T(name, setup) cmocka_unit_test_setup_teardown(name, setup, close_it)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(a_condition_that_went_ahead_and_holds_is_part_of_the_transaction, open_with_1),
		T(a_condition_that_went_ahead_and_does_not_hold_fails_the_first_call, open_empty),
		T(a_commit_is_not_sent_before_the_condition_is_known, open_empty),
		T(what_went_ahead_can_be_taken_back, open_with_1),
		T(a_connection_that_died_after_sending_ahead_is_unavailable, open_with_1),
		T(an_opening_that_fails_by_itself_voids_all_that_travels_with_it, open_with_1),
	};
	cmocka_set_test_filter(getenv("KILN_TEST_FILTER")); /* a pattern, or all */
	return cmocka_run_group_tests(tests, set_up, tear_down);
}
