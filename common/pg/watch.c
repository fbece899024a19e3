#include "common/pg/watch.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>

#include "common/base/alloc.h"
#include "common/base/clock.h"
#include "common/base/log.h"
#include "common/base/metrics.h"
#include "common/base/mutex.h"
#include "common/base/thread.h"
#include "common/base/wakeup.h"
#include "kiln_pg_sql.h"

#define LOOK_MS 1000
#define WAIT_MS 2000
#define THREAD_STACK_BYTES (256UL * 1024)

struct pg_watch {
	struct pg_conn *conn;
	struct wakeup wakeup;
	pthread_t thread;
	_Atomic bool stopping;
	pthread_mutex_t lock;
	const struct pg_conn *watched[PG_WATCH_MAX]; /* NULL = free */
};

static struct metric ended_total = {.kind = METRIC_COUNTER,
									.name = "kiln_pg_stuck_sessions_ended_total",
									.help = "Sessions ended because they held locks while frozen."};

static void register_metrics(void)
{
	metric_register(&ended_total);
}

/* Backends whose call takes long. False when there is none. */
static bool find_waiting(struct pg_watch *watch, struct pg_array *ret_pids)
{
	int64_t now_ms = clock_boot_ms();
	mutex_lock(&watch->lock);
	for (size_t i = 0; i < PG_WATCH_MAX; i++) {
		const struct pg_conn *conn = watch->watched[i];
		if (conn == NULL)
			continue;
		int64_t since_ms = pg_busy_since_ms(conn);
		if (since_ms != 0 && now_ms - since_ms >= WAIT_MS && pg_backend_pid(conn) != 0)
			pg_array_add_int(ret_pids, pg_backend_pid(conn));
	}
	mutex_unlock(&watch->lock);
	return ret_pids->len > 0;
}

/* The columns of a look, as parameters of the next. */
struct suspects {
	struct pg_array pids, query_starts, backend_starts;
};

static void read_suspects(const PGresult *result, struct suspects *suspects)
{
	for (int row = 0; row < PQntuples(result); row++) {
		pg_array_add_int(&suspects->pids, pg_int(result, row, "pid", 0));
		pg_array_add(&suspects->query_starts, pg_text(result, row, "query_start"));
		pg_array_add(&suspects->backend_starts, pg_text(result, row, "backend_start"));
	}
}

static int second_look(struct pg_watch *watch, const char *waiting, struct suspects *suspects, struct error *err)
{
	CLEANUP(pg_result_p) PGresult *result = NULL;
	const char *const params[] = {waiting, pg_array_text(&suspects->pids), pg_array_text(&suspects->query_starts),
								  pg_array_text(&suspects->backend_starts)};
	if (pg_query(watch->conn, &sql_watch_end, params, ARRAY_LEN(params), &result, err) < 0)
		return -1;
	for (int row = 0; row < PQntuples(result); row++) {
		metric_add(&ended_total, 1);
		log_warn("postgres: ended a session that held locks and did nothing", "pid", pg_text(result, row, "pid"),
				 "ended", pg_text(result, row, "ended"), NULL);
	}
	return 0;
}

/* Looks twice. */
static int look(struct pg_watch *watch, struct pg_array *waiting, struct suspects *suspects, struct error *err)
{
	CLEANUP(pg_result_p) PGresult *result = NULL;
	if (pg_query(watch->conn, &sql_watch_look, PG_PARAMS(pg_array_text(waiting)), 1, &result, err) < 0)
		return -1;
	if (PQntuples(result) == 0)
		return 0;
	read_suspects(result, suspects);
	(void)wakeup_wait(&watch->wakeup, LOOK_MS); /* only the end wakes it */
	pg_array_clear(waiting);
	if (atomic_load(&watch->stopping) || !find_waiting(watch, waiting))
		return 0;
	return second_look(watch, pg_array_text(waiting), suspects, err);
}

static void turn(struct pg_watch *watch)
{
	struct pg_array waiting;
	struct suspects suspects;
	pg_array_init(&waiting, 1024);
	pg_array_init(&suspects.pids, 65536);
	pg_array_init(&suspects.query_starts, 262144);
	pg_array_init(&suspects.backend_starts, 262144);
	struct error err = ERROR_INIT;
	if (find_waiting(watch, &waiting) && look(watch, &waiting, &suspects, &err) < 0)
		log_warn("postgres watch", "error", err.message, NULL);
	pg_array_release(&waiting);
	pg_array_release(&suspects.pids);
	pg_array_release(&suspects.query_starts);
	pg_array_release(&suspects.backend_starts);
}

static void *run(void *arg)
{
	struct pg_watch *watch = arg;
	while (!atomic_load(&watch->stopping)) {
		(void)wakeup_wait(&watch->wakeup, LOOK_MS); /* only the end wakes it */
		turn(watch);
	}
	return NULL;
}

int pg_watch_new(const struct pg_settings *settings, struct pg_watch **ret_watch, struct error *err)
{
	static pthread_once_t once = PTHREAD_ONCE_INIT;
	CHECK(pthread_once(&once, register_metrics) == 0);
	struct pg_watch *watch = xcalloc(1, sizeof(*watch));
	watch->conn = pg_conn_new(settings);
	wakeup_init(&watch->wakeup);
	mutex_init(&watch->lock);
	if (thread_start(&watch->thread, "pg-watch", THREAD_STACK_BYTES, run, watch, err) < 0) {
		wakeup_release(&watch->wakeup);
		(void)pthread_mutex_destroy(&watch->lock); /* nobody holds it */
		pg_conn_free(watch->conn);
		free(watch);
		return -1;
	}
	*ret_watch = watch;
	return 0;
}

void pg_watch_free(struct pg_watch *watch)
{
	if (watch == NULL)
		return;
	atomic_store(&watch->stopping, true);
	wakeup_signal(&watch->wakeup);
	thread_join(watch->thread);
	wakeup_release(&watch->wakeup);
	(void)pthread_mutex_destroy(&watch->lock); /* nobody holds it */
	pg_conn_free(watch->conn);
	free(watch);
}

void pg_watch_add(struct pg_watch *watch, const struct pg_conn *conn)
{
	size_t i = 0;
	mutex_lock(&watch->lock);
	while (i < PG_WATCH_MAX && watch->watched[i] != NULL)
		i++;
	CHECK(i < PG_WATCH_MAX);
	watch->watched[i] = conn;
	mutex_unlock(&watch->lock);
}

void pg_watch_remove(struct pg_watch *watch, const struct pg_conn *conn)
{
	mutex_lock(&watch->lock);
	for (size_t i = 0; i < PG_WATCH_MAX; i++) {
		if (watch->watched[i] == conn)
			watch->watched[i] = NULL;
	}
	mutex_unlock(&watch->lock);
}
