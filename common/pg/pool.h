/* A bounded pool of connections for threads that need one now and then. */
#pragma once

#include "common/base/compiler.h"
#include "common/base/error.h"
#include "common/pg/pg.h"

struct pg_pool;

struct pg_pool *pg_pool_new(const struct pg_settings *settings, size_t max);
void pg_pool_free(struct pg_pool *pool); /* all connections must be back */
/* Waits up to timeout_ms for a free one: ERR_LIMIT. It may be disconnected; the next call connects. */
int pg_pool_take(struct pg_pool *pool, int timeout_ms, struct pg_conn **ret_conn, struct error *err) MUST_CHECK;
void pg_pool_give(struct pg_pool *pool, struct pg_conn *conn); /* rolls back an open transaction */
