#include "common/pg/pool.h"

#include <pthread.h>
#include <stdlib.h>

#include "common/base/alloc.h"
#include "common/base/clock.h"
#include "common/base/cond.h"
#include "common/base/mutex.h"

struct pg_pool {
	pthread_mutex_t lock;
	pthread_cond_t given;
	size_t max;
	size_t idle_len;
	struct pg_conn *idle[]; /* a stack: the one used last is taken first */
};

struct pg_pool *pg_pool_new(const struct pg_settings *settings, size_t max)
{
	CHECK(max > 0);
	struct pg_pool *pool = xcalloc(1, sizeof(*pool) + max * sizeof(void *));
	mutex_init(&pool->lock);
	cond_init(&pool->given);
	pool->max = max;
	while (pool->idle_len < max)
		pool->idle[pool->idle_len++] = pg_conn_new(settings);
	return pool;
}

void pg_pool_free(struct pg_pool *pool)
{
	if (pool == NULL)
		return;
	CHECK(pool->idle_len == pool->max);
	for (size_t i = 0; i < pool->max; i++)
		pg_conn_free(pool->idle[i]);
	(void)pthread_cond_destroy(&pool->given); /* nobody waits */
	(void)pthread_mutex_destroy(&pool->lock); /* nobody holds it */
	free(pool);
}

int pg_pool_take(struct pg_pool *pool, int timeout_ms, struct pg_conn **ret_conn, struct error *err)
{
	struct timespec until = cond_deadline(timeout_ms);
	mutex_lock(&pool->lock);
	while (pool->idle_len == 0 && cond_wait_until(&pool->given, &pool->lock, &until))
		;
	struct pg_conn *conn = pool->idle_len > 0 ? pool->idle[--pool->idle_len] : NULL;
	mutex_unlock(&pool->lock);
	if (conn == NULL)
		return error_set(err, ERR_LIMIT, "postgres: all %zu connections are busy", pool->max);
	*ret_conn = conn;
	return 0;
}

void pg_pool_give(struct pg_pool *pool, struct pg_conn *conn)
{
	pg_rollback(conn);
	mutex_lock(&pool->lock);
	CHECK(pool->idle_len < pool->max);
	pool->idle[pool->idle_len++] = conn;
	CHECK(pthread_cond_signal(&pool->given) == 0);
	mutex_unlock(&pool->lock);
}
