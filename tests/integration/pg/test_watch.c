/* The stuck-blocker watch: whoever is frozen is ended, whoever is innocent is not. Sessions are connections that simply
 * do nothing more. */
#include "services.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/alloc.h"
#include "common/pg/watch.h"

static struct test_database database;
static struct pg_watch *watch;

static const struct pg_statement lock_1 = {.name = "lock_1", .sql = "UPDATE t SET n = n + 1 WHERE id = 1"};
static const struct pg_statement lock_2 = {.name = "lock_2", .sql = "UPDATE t SET n = n + 1 WHERE id = 2"};

static int set_up(void **state)
{
	(void)state;
	test_database_init(&database);
	test_sql(&database,
			 "CREATE TABLE t (id int PRIMARY KEY, n int NOT NULL DEFAULT 0); INSERT INTO t (id) VALUES (1), (2)");
	struct pg_settings settings = test_pg(&database);
	struct error err = ERROR_INIT;
	assert_ok(pg_watch_new(&settings, &watch, &err), err);
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	pg_watch_free(watch);
	test_database_release(&database);
	return 0;
}

/* Time-outs that play no part here. */
static struct pg_conn *open_session(void)
{
	struct pg_settings settings = test_pg(&database);
	settings.lock_timeout_ms = 60000;
	settings.statement_timeout_ms = 60000;
	settings.idle_in_transaction_timeout_ms = 60000;
	settings.call_timeout_ms = 60000;
	return pg_conn_new(&settings);
}

/* A transaction that holds a row and does nothing more. */
static struct pg_conn *hold(const struct pg_statement *lock)
{
	struct pg_conn *conn = open_session();
	struct error err = ERROR_INIT;
	assert_ok(pg_begin(conn, &err), err);
	assert_ok(pg_query(conn, lock, NULL, 0, NULL, &err), err);
	return conn;
}

/* A call on a thread of its own. */
struct call {
	struct pg_conn *conn;
	const struct pg_statement *statement;
	pthread_t thread;
	_Atomic bool done;
	int result;
	struct error err;
};

static void *run_call(void *arg)
{
	struct call *call = arg;
	call->result = pg_query(call->conn, call->statement, NULL, 0, NULL, &call->err);
	atomic_store(&call->done, true);
	return NULL;
}

static void start_call(struct call *call, struct pg_conn *conn, const struct pg_statement *statement)
{
	*call = (struct call){.conn = conn, .statement = statement};
	assert_int_equal(pthread_create(&call->thread, NULL, run_call, call), 0);
}

static void join_call(struct call *call)
{
	assert_int_equal(pthread_join(call->thread, NULL), 0);
}

static bool lives(const struct pg_conn *conn)
{
	char *sql = xasprintf("SELECT count(*) FROM pg_stat_activity WHERE pid = %d", pg_backend_pid(conn));
	bool found = test_sql_int(&database, sql) == 1;
	free(sql);
	return found;
}

/* It waits in the server for an event of this type, "Lock" or "Timeout" for instance. */
static bool waits_for(const struct pg_conn *conn, const char *type)
{
	char *sql = xasprintf("SELECT count(*) FROM pg_stat_activity WHERE pid = %d AND wait_event_type = '%s'",
						  pg_backend_pid(conn), type);
	bool found = test_sql_int(&database, sql) == 1;
	free(sql);
	return found;
}

static void a_session_that_holds_a_lock_and_does_nothing_is_ended(void **state)
{
	(void)state;
	struct pg_conn *frozen = hold(&lock_1);
	struct pg_conn *waiting = open_session();
	pg_watch_add(watch, waiting);
	struct call call;
	int64_t began_ms = test_now_ms();
	start_call(&call, waiting, &lock_1);
	assert_becomes(call.done, 60000);
	join_call(&call);
	assert_int_equal(call.result, 0);
	assert_true(test_now_ms() - began_ms >= 3000); /* 2 s of waiting, and 1 s between the looks */
	assert_false(lives(frozen));
	pg_watch_remove(watch, waiting);
	pg_rollback(frozen);
	pg_conn_free(frozen);
	pg_conn_free(waiting);
}

/* Between two calls nothing is left to be read (each ends with a Sync), so Postgres knows that the session idles: whoever
 * takes locks in calls that are whole needs nobody who watches those that wait. */
static void a_session_that_is_frozen_between_two_calls_is_ended_by_postgres_itself(void **state)
{
	(void)state;
	struct pg_settings settings = test_pg(&database);
	settings.idle_in_transaction_timeout_ms = 1000;
	struct pg_conn *frozen = pg_conn_new(&settings);
	struct error err = ERROR_INIT;
	assert_ok(pg_begin(frozen, &err), err);
	assert_ok(pg_query(frozen, &lock_1, NULL, 0, NULL, &err), err);
	struct pg_conn *waiting = open_session();
	assert_ok(pg_query(waiting, &lock_1, NULL, 0, NULL, &err), err);
	assert_false(lives(frozen));
	pg_conn_free(waiting);
	pg_rollback(frozen);
	pg_conn_free(frozen);
}

static void the_frozen_one_at_the_end_of_a_queue_is_ended_and_the_innocent_in_between_is_not(void **state)
{
	(void)state;
	struct pg_conn *frozen = hold(&lock_1);
	struct pg_conn *innocent = hold(&lock_2);
	struct call between;
	start_call(&between, innocent, &lock_1); /* holds 2, waits for 1 */
	assert_becomes(waits_for(innocent, "Lock"), 60000);
	struct pg_conn *waiting = open_session();
	pg_watch_add(watch, waiting);
	struct call call;
	start_call(&call, waiting, &lock_2);
	assert_becomes(between.done, 60000);
	join_call(&between);
	assert_int_equal(between.result, 0);
	assert_false(lives(frozen));
	struct error err = ERROR_INIT;
	assert_ok(pg_commit(innocent, &err), err);
	assert_becomes(call.done, 60000);
	join_call(&call);
	assert_int_equal(call.result, 0);
	pg_watch_remove(watch, waiting);
	pg_conn_free(waiting);
	pg_conn_free(innocent);
	pg_rollback(frozen);
	pg_conn_free(frozen);
}

static void a_blocker_that_works_is_left_alone(void **state)
{
	(void)state;
	static const struct pg_statement work = {.name = "work", .sql = "SELECT pg_sleep(6)"};
	struct pg_conn *busy = hold(&lock_1);
	struct call working;
	start_call(&working, busy, &work);
	assert_becomes(waits_for(busy, "Timeout"), 60000); /* of pg_sleep */
	struct pg_conn *waiting = open_session();
	pg_watch_add(watch, waiting);
	struct call call;
	start_call(&call, waiting, &lock_1);
	assert_becomes(working.done, 60000);
	join_call(&working);
	assert_int_equal(working.result, 0);
	struct error err = ERROR_INIT;
	assert_ok(pg_commit(busy, &err), err);
	assert_becomes(call.done, 60000);
	join_call(&call);
	assert_int_equal(call.result, 0);
	pg_watch_remove(watch, waiting);
	pg_conn_free(waiting);
	pg_conn_free(busy);
}

/* False when it was not alive: when this thread or the server did not get to run for so long that two looks may have
 * seen the same statement. */
static bool is_alive_and_left_alone(void)
{
	static const struct pg_statement ping = {.name = "ping", .sql = "SELECT 1"};
	struct pg_conn *slow = hold(&lock_1);
	struct pg_conn *waiting = open_session();
	pg_watch_add(watch, waiting);
	struct call call;
	start_call(&call, waiting, &lock_1);
	/* A statement every now and then: between two looks its query_start changes. */
	int64_t began_ms = test_now_ms(), last_ms = began_ms, now_ms = began_ms;
	struct error err = ERROR_INIT;
	int result = 0;
	while (result == 0 && now_ms - began_ms < 6000 && now_ms - last_ms < 900) {
		last_ms = test_now_ms();
		result = pg_query(slow, &ping, NULL, 0, NULL, &err);
		test_pause();
		now_ms = test_now_ms();
	}
	bool alive = now_ms - last_ms < 900;
	if (alive && result < 0)
		fail_msg("%s", err.message);
	if (pg_commit(slow, &err) < 0) {
		alive = false; /* too late as well: it was alive up to the last ping, and well */
		pg_rollback(slow);
	}
	assert_becomes(call.done, 60000);
	join_call(&call);
	assert_int_equal(call.result, 0);
	pg_watch_remove(watch, waiting);
	pg_conn_free(waiting);
	pg_conn_free(slow);
	return alive;
}

static void a_blocker_that_is_slow_but_alive_is_left_alone(void **state)
{
	(void)state;
	bool alive = false;
	for (int round = 0; round < 10 && !alive; round++)
		alive = is_alive_and_left_alone();
	assert_true(alive);
}

static void another_role_is_left_alone(void **state)
{
	(void)state;
	char *url;
	char *role = test_role(&database, "t", &url);
	struct pg_settings settings = test_pg(&database);
	settings.url = url;
	settings.idle_in_transaction_timeout_ms = 60000;
	struct pg_conn *foreign = pg_conn_new(&settings);
	struct error err = ERROR_INIT;
	assert_ok(pg_begin(foreign, &err), err);
	assert_ok(pg_query(foreign, &lock_1, NULL, 0, NULL, &err), err);
	struct pg_conn *waiting = open_session();
	pg_watch_add(watch, waiting);
	struct call call;
	start_call(&call, waiting, &lock_1);
	int64_t until_ms = test_now_ms() + 6000;
	while (test_now_ms() < until_ms) {
		assert_false(call.done);
		test_pause();
	}
	assert_ok(pg_commit(foreign, &err), err);
	assert_becomes(call.done, 60000);
	join_call(&call);
	assert_int_equal(call.result, 0);
	pg_watch_remove(watch, waiting);
	pg_conn_free(waiting);
	pg_conn_free(foreign);
	test_drop_role(&database, role);
	free(url);
	free(role);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_session_that_holds_a_lock_and_does_nothing_is_ended),
		cmocka_unit_test(a_session_that_is_frozen_between_two_calls_is_ended_by_postgres_itself),
		cmocka_unit_test(the_frozen_one_at_the_end_of_a_queue_is_ended_and_the_innocent_in_between_is_not),
		cmocka_unit_test(a_blocker_that_works_is_left_alone),
		cmocka_unit_test(a_blocker_that_is_slow_but_alive_is_left_alone),
		cmocka_unit_test(another_role_is_left_alone),
	};
	cmocka_set_test_filter(getenv("KILN_TEST_FILTER")); /* a pattern, or all */
	return cmocka_run_group_tests(tests, set_up, tear_down);
}
