#include "api-gateway/requests/lookups.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>

#include "api-gateway/callers/caches.h"
#include "common/base/alloc.h"
#include "common/base/clock.h"
#include "common/base/log.h"
#include "common/base/queue.h"
#include "common/base/str.h"
#include "common/base/thread.h"

#define TURN_MS 1000   /* without a turn of the owner's */
#define SILENCES_MAX 2 /* statements in a row that Postgres said nothing to: it is away */
#define AWAY_MS 2000   /* then nobody is kept waiting for so long */

struct lookups {
	struct gateway *gateway;
	struct lookups_owner owner;
	struct queue *queue;
	struct pg_conn *conn;
	pthread_t thread;
	_Atomic bool stop;
	int64_t away_until_ms, gather_until_us;
	int silences;
};

bool lookups_away(const struct lookups *lookups)
{
	return !caches_database_up(lookups->gateway->caches) || clock_boot_ms() < lookups->away_until_ms;
}

int lookups_query(struct lookups *lookups, const struct pg_statement *statement, const char *const *params,
				  size_t params_len, PGresult **ret_result, const char *what)
{
	struct error err = ERROR_INIT;
	int result = pg_query(lookups->conn, statement, params, params_len, ret_result, &err);
	/* A refused or slow one is no absence: keys would be taken at their word then. */
	bool spoke = result == 0 || (err.sqlstate[0] != '\0' && err.kind != ERR_UNAVAILABLE);
	lookups->silences = spoke ? 0 : lookups->silences + 1;
	if (lookups->silences >= SILENCES_MAX)
		lookups->away_until_ms = clock_boot_ms() + AWAY_MS;
	if (result < 0)
		log_warn(what, "error", err.message, NULL);
	return result;
}

int lookups_find_row(const PGresult *result, const char *id, size_t place)
{
	int rows = PQntuples(result);
	for (int i = 0; i < rows; i++) {
		int row = (int)((place + (size_t)i) % (size_t)rows);
		if (str_equal(pg_text(result, row, "id"), id))
			return row;
	}
	return -1;
}

/* Those that waited too long behind others are given up. Returns how many are left. */
static size_t sort_out(struct lookups *lookups, struct lookup **batch, size_t count)
{
	int64_t now_ms = clock_boot_ms();
	size_t left = 0;
	for (size_t i = 0; i < count; i++) {
		if (now_ms >= batch[i]->outdated_ms)
			lookups->owner.give_up(lookups->owner.ctx, &batch[i], 1);
		else
			batch[left++] = batch[i];
	}
	return left;
}

/* Where several ask at once, a thread that is woken by the first would ask for each alone: a statement costs Postgres
 * and us more than ten rows. Who asks alone, one after the other, is not held up. */
static size_t gather(struct lookups *lookups, void **ret_values, size_t max)
{
	int64_t left_us = lookups->gather_until_us - clock_boot_us();
	if (left_us <= 0)
		return 0;
	clock_pause_us(left_us);
	return queue_pop_many(lookups->queue, 0, ret_values, max);
}

static void answer_some(struct lookups *lookups, int wait_ms)
{
	void *values[LOOKUPS_BATCH_MAX];
	struct lookup *batch[LOOKUPS_BATCH_MAX];
	size_t max = lookups->owner.batch_max, count = queue_pop_many(lookups->queue, wait_ms, values, max);
	if (count > 0 && count < max)
		count += gather(lookups, values + count, max - count);
	lookups->gather_until_us = count > 1 ? clock_boot_us() + lookups->owner.gather_us : 0;
	for (size_t i = 0; i < count; i++)
		batch[i] = values[i];
	count = sort_out(lookups, batch, count);
	if (count == 0)
		return;
	if (lookups_away(lookups))
		lookups->owner.give_up(lookups->owner.ctx, batch, count);
	else
		lookups->owner.look_up(lookups->owner.ctx, batch, count);
}

/* Nobody waits for the answers any more, but what is asked is somebody's memory. */
static void give_back(struct lookups *lookups)
{
	void *value;
	while ((value = queue_pop(lookups->queue, 0)) != NULL) {
		struct lookup *lookup = value;
		lookup->outdated_ms = 0;
		lookups->owner.give_up(lookups->owner.ctx, &lookup, 1);
	}
}

static void *run(void *arg)
{
	struct lookups *lookups = arg;
	const struct lookups_owner *owner = &lookups->owner;
	while (!atomic_load(&lookups->stop))
		answer_some(lookups, owner->turn != NULL ? owner->turn(owner->ctx) : TURN_MS);
	give_back(lookups);
	return NULL;
}

static struct pg_conn *make_connection(const struct lookups *lookups)
{
	char *url = pg_indexed_url(lookups->gateway->config->database_url);
	const struct pg_settings settings = {
		.url = url,
		.application_name = lookups->owner.application_name,
		.connect_timeout_ms = lookups->owner.call_timeout_ms,
		.call_timeout_ms = lookups->owner.call_timeout_ms,
		.statement_timeout_ms = lookups->owner.call_timeout_ms - 100,
	};
	struct pg_conn *conn = pg_conn_new(&settings);
	free(url);
	return conn;
}

static void free_lookups(struct lookups *lookups)
{
	pg_conn_free(lookups->conn);
	queue_free(lookups->queue);
	free(lookups);
}

int lookups_start(struct gateway *gateway, const struct lookups_owner *owner, struct lookups **ret_lookups,
				  struct error *err)
{
	CHECK(owner->batch_max > 0 && owner->batch_max <= LOOKUPS_BATCH_MAX);
	struct lookups *lookups = xcalloc(1, sizeof(*lookups));
	lookups->gateway = gateway;
	lookups->owner = *owner;
	lookups->queue = queue_new(owner->queue_max);
	lookups->conn = make_connection(lookups);
	*ret_lookups = lookups; /* the owner's turn uses it */
	if (thread_start(&lookups->thread, owner->thread_name, 0, run, lookups, err) == 0)
		return 0;
	*ret_lookups = NULL;
	free_lookups(lookups);
	return -1;
}

void lookups_stop(struct lookups *lookups)
{
	if (lookups == NULL)
		return;
	atomic_store(&lookups->stop, true);
	queue_close(lookups->queue); /* wakes it */
	thread_join(lookups->thread);
	free_lookups(lookups);
}

size_t lookups_ask(struct lookups *lookups, struct lookup *const *questions, size_t count)
{
	void *values[LOOKUPS_BATCH_MAX];
	CHECK(count <= LOOKUPS_BATCH_MAX);
	for (size_t i = 0; i < count; i++)
		values[i] = questions[i];
	return queue_try_push_many(lookups->queue, values, count);
}
