#include "table_t.h"

struct test_database database;

const struct pg_statement insert_t = {.name = "insert_t", .sql = "INSERT INTO t (n) VALUES ($1::int)"};

int set_up(void **state)
{
	(void)state;
	test_database_init(&database);
	test_sql(&database, "CREATE TABLE t (n int PRIMARY KEY DEFERRABLE INITIALLY IMMEDIATE)");
	return 0;
}

int tear_down(void **state)
{
	(void)state;
	test_database_release(&database);
	return 0;
}

int empty(void **state)
{
	(void)state;
	test_sql(&database, "TRUNCATE t");
	return 0;
}

struct pg_conn *open_conn(int call_timeout_ms)
{
	struct pg_settings settings = test_pg(&database);
	settings.call_timeout_ms = call_timeout_ms;
	return pg_conn_new(&settings);
}

int64_t rows(void)
{
	return test_sql_int(&database, "SELECT count(*) FROM t");
}
