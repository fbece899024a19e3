/* A database with an empty table t (n int), for tests of connections. */
#pragma once

#include "services.h"

extern struct test_database database;
extern const struct pg_statement insert_t; /* $1: n */

/* cmocka's: the database of a group, the empty table of a test. */
int set_up(void **state);
int tear_down(void **state);
int empty(void **state);

struct pg_conn *open_conn(int call_timeout_ms); /* 0 = as ever */
int64_t rows(void);                             /* of the table, as others see it */
