#include "common/pg/retention.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "common/base/alloc.h"
#include "common/base/clock.h"
#include "common/base/log.h"
#include "common/base/thread.h"
#include "common/base/wakeup.h"
#include "kiln_pg_sql.h"

#define STACK_BYTES ((size_t)256 * 1024)
/* Whoever waits for a row that is being removed waits so long at most; the batch is tried again. */
#define STATEMENT_TIMEOUT_MS 5000
#define LOCK_TIMEOUT_MS 2000
/* After a batch it rests as long as the batch took: it costs the database half of one session at most. */
#define REST_MIN_MS 10
#define REST_MAX_MS 2000

struct retention {
	struct retention_options options; /* but for its tasks */
	struct retention_task *tasks;
	struct pg_conn *conn;
	struct wakeup wakeup;
	pthread_t thread;
	_Atomic bool stopping;
};

enum look {
	LOOK_NONE,    /* another instance is at it */
	LOOK_REMOVED, /* there may be more */
	LOOK_NOTHING,
};

static int remove_rows(struct pg_conn *conn, const struct retention_task *task, enum look *ret_look, struct error *err)
{
	char days[24];
	(void)snprintf(days, sizeof(days), "%lld", (long long)task->days);
	CLEANUP(pg_result_p) PGresult *removed = NULL;
	if (task->find == NULL) {
		if (pg_query(conn, task->removes, PG_PARAMS(days), 1, &removed, err) < 0)
			return -1;
	} else {
		CLEANUP(pg_result_p) PGresult *found = NULL;
		if (pg_query(conn, task->find, PG_PARAMS(days), 1, &found, err) < 0)
			return -1;
		if (pg_int(found, 0, "found", 0) == 0) {
			*ret_look = LOOK_NOTHING;
			return 0;
		}
		const char *ids = pg_text(found, 0, "ids");
		if (pg_query(conn, task->locks, PG_PARAMS(ids), 1, NULL, err) < 0 ||
			pg_query(conn, task->removes, PG_PARAMS(ids, days), 2, &removed, err) < 0)
			return -1;
	}
	int64_t count = pg_int(removed, 0, "removed", 0);
	if (pg_commit(conn, err) < 0)
		return -1; /* the count may be lost, the rows are not counted twice */
	metric_add(task->removed, count);
	*ret_look = count > 0 ? LOOK_REMOVED : LOOK_NOTHING;
	return 0;
}

static int batch(struct pg_conn *conn, const struct retention_task *task, enum look *ret_look, struct error *err)
{
	CLEANUP(pg_result_p) PGresult *lock = NULL;
	*ret_look = LOOK_NONE;
	if (pg_begin(conn, err) < 0)
		return -1;
	int rc = pg_query(conn, &sql_retention_lock, PG_PARAMS(task->lock), 1, &lock, err);
	if (rc == 0 && pg_bool(lock, 0, "locked"))
		rc = remove_rows(conn, task, ret_look, err);
	pg_rollback(conn); /* does nothing after the commit */
	return rc;
}

static int rest_ms(int64_t began_ms)
{
	int64_t took_ms = clock_boot_ms() - began_ms;
	if (took_ms < REST_MIN_MS)
		return REST_MIN_MS;
	return took_ms > REST_MAX_MS ? REST_MAX_MS : (int)took_ms;
}

static void run_task(struct retention *retention, const struct retention_task *task)
{
	enum look look = LOOK_REMOVED;
	while (look == LOOK_REMOVED && !atomic_load(&retention->stopping)) {
		struct error err = ERROR_INIT;
		int64_t began_ms = clock_boot_ms();
		if (batch(retention->conn, task, &look, &err) < 0) {
			log_warn("retention: trying again later", "task", task->lock, "error", err.message, "sqlstate",
					 err.sqlstate, NULL);
			return;
		}
		if (look == LOOK_REMOVED)
			(void)wakeup_wait(&retention->wakeup, rest_ms(began_ms)); /* `stopping` tells */
	}
	if (look == LOOK_NOTHING)
		metric_set(task->last_run, (int64_t)time(NULL));
}

static void *retention_thread(void *ctx)
{
	struct retention *retention = ctx;
	while (!atomic_load(&retention->stopping)) {
		for (size_t i = 0; i < retention->options.tasks_len; i++)
			run_task(retention, &retention->tasks[i]);
		(void)wakeup_wait(&retention->wakeup, (int)(retention->options.every_s * 1000)); /* `stopping` tells */
	}
	return NULL;
}

int retention_start(const struct retention_options *options, struct retention **ret_retention, struct error *err)
{
	struct retention *retention = xcalloc(1, sizeof(*retention));
	retention->options = *options;
	retention->tasks = xcalloc(options->tasks_len, sizeof(*retention->tasks));
	memcpy(retention->tasks, options->tasks, options->tasks_len * sizeof(*retention->tasks));
	retention->options.pg.statement_timeout_ms = STATEMENT_TIMEOUT_MS;
	retention->options.pg.lock_timeout_ms = LOCK_TIMEOUT_MS;
	retention->conn = pg_conn_new(&retention->options.pg);
	wakeup_init(&retention->wakeup);
	for (size_t i = 0; i < options->tasks_len; i++) {
		metric_register(options->tasks[i].removed);
		metric_register(options->tasks[i].last_run);
	}
	if (thread_start(&retention->thread, "retention", STACK_BYTES, retention_thread, retention, err) < 0)
		return -1; /* the process ends */
	if (options->watch != NULL)
		pg_watch_add(options->watch, retention->conn);
	*ret_retention = retention;
	return 0;
}

void retention_stop(struct retention *retention)
{
	if (retention == NULL)
		return;
	atomic_store(&retention->stopping, true);
	wakeup_signal(&retention->wakeup);
	thread_join(retention->thread);
	if (retention->options.watch != NULL)
		pg_watch_remove(retention->options.watch, retention->conn);
	pg_conn_free(retention->conn);
	wakeup_release(&retention->wakeup);
	free(retention->tasks);
	free(retention);
}
