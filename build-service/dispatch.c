#include "build-service/dispatch.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "build-service/assignment.h"
#include "build-service/match_run.h"
#include "build-service/timeouts.h"
#include "common/base/alloc.h"
#include "common/base/backoff.h"
#include "common/base/clock.h"
#include "common/base/log.h"
#include "common/base/thread.h"
#include "kiln_build_service_sql.h"

#define BACKOFF_MIN_MS 100
#define BACKOFF_MAX_MS 5000
#define STACK_BYTES ((size_t)512 * 1024)

struct dispatcher {
	struct service *service;
	struct pg_conn *conn;
	struct match_run run;
	struct timeouts timeouts;
	unsigned listening_generation;
	pthread_t thread;
	_Atomic bool stopping;
};

void dispatch_after_failure(struct service *service, const struct error *err)
{
	if (err->kind != ERR_UNKNOWN)
		return;
	vacancies_add_all(&service->vacancies);
	wakeup_signal(&service->dispatch);
}

static int match_all(struct dispatcher *dispatcher, struct error *err)
{
	bool again = true;
	dispatcher->run.in_vain = false;
	while (again && !atomic_load(&dispatcher->stopping)) {
		if (match_run_once(&dispatcher->run, &again, err) < 0)
			return -1;
	}
	return 0;
}

static int read_epoch(struct dispatcher *dispatcher, struct error *err)
{
	CLEANUP(pg_result_p) PGresult *row = NULL;
	if (pg_query(dispatcher->conn, &sql_read_epoch, NULL, 0, &row, err) < 0)
		return -1;
	if (PQntuples(row) == 0)
		return error_set(err, ERR_UNAVAILABLE, "what was in the logs at the restore is not applied yet");
	atomic_store(&dispatcher->service->epoch, (int32_t)pg_int(row, 0, "epoch", 0));
	return 0;
}

static int turn(struct dispatcher *dispatcher, int64_t *timer_ms, struct error *err)
{
	struct vacancies *vacancies = &dispatcher->service->vacancies;
	unsigned generation = dispatcher->listening_generation;
	/* Before the look, like the clearing of the wake-up. */
	if (pg_listen(dispatcher->conn, "kiln_caches", &dispatcher->listening_generation, err) < 0)
		return -1;
	if (dispatcher->listening_generation != generation)
		vacancies_add_all(vacancies); /* what was told meanwhile is lost */
	int64_t now_ms = clock_boot_ms();
	if (now_ms >= *timer_ms) {
		*timer_ms = now_ms + dispatcher->service->config->dispatch_timer_ms;
		vacancies_add_all(vacancies); /* of an instance that ended behind its commit */
		if (timeouts_run(&dispatcher->timeouts, err) < 0)
			return -1;
	}
	return match_all(dispatcher, err);
}

/* A project's settings were changed: its limit, perhaps. Its id comes first; tokens and templates tell none. */
static void take_notification(void *ctx, const char *payload)
{
	struct dispatcher *dispatcher = ctx;
	char id[UUID_TEXT_SIZE];
	(void)snprintf(id, sizeof(id), "%s", payload); /* cut off behind the id */
	if (uuid_is_valid(id, strlen(id)))
		vacancies_add(&dispatcher->service->vacancies, id);
}

static void *dispatch_thread(void *arg)
{
	struct dispatcher *dispatcher = arg;
	const struct pg_notified wait = {.wakeup = &dispatcher->service->dispatch,
									 .stop = &dispatcher->stopping,
									 .each = take_notification,
									 .ctx = dispatcher};
	int64_t timer_ms = 0;
	struct backoff backoff = {.min_ms = BACKOFF_MIN_MS, .max_ms = BACKOFF_MAX_MS};
	bool knows_epoch = false;
	while (!atomic_load(&dispatcher->stopping)) {
		struct error err = ERROR_INIT;
		/* Cleared before the look: what is committed after this wakes the next turn. */
		wakeup_clear(&dispatcher->service->dispatch);
		if (!knows_epoch)
			knows_epoch = read_epoch(dispatcher, &err) == 0;
		if (knows_epoch && turn(dispatcher, &timer_ms, &err) == 0) {
			backoff_clear(&backoff);
			pg_wait_notified(dispatcher->conn, &wait, timer_ms);
			continue;
		}
		log_warn("dispatch: trying again", "error", err.message, "sqlstate", err.sqlstate, NULL);
		(void)wakeup_wait(&dispatcher->service->dispatch, backoff_next(&backoff)); /* either way the next turn */
	}
	return NULL;
}

int dispatcher_start(struct service *service, struct dispatcher **ret_dispatcher, struct error *err)
{
	struct dispatcher *dispatcher = xcalloc(1, sizeof(*dispatcher));
	dispatcher->service = service;
	dispatcher->conn = pg_conn_new(&service->pg);
	match_run_init(&dispatcher->run, service, dispatcher->conn);
	timeouts_init(&dispatcher->timeouts, service, dispatcher->conn);
	pg_watch_add(service->watch, dispatcher->conn);
	if (thread_start(&dispatcher->thread, "dispatch", STACK_BYTES, dispatch_thread, dispatcher, err) < 0)
		return -1; /* the process ends */
	*ret_dispatcher = dispatcher;
	return 0;
}

void dispatcher_stop(struct dispatcher *dispatcher)
{
	atomic_store(&dispatcher->stopping, true);
	wakeup_signal(&dispatcher->service->dispatch);
	thread_join(dispatcher->thread);
	pg_watch_remove(dispatcher->service->watch, dispatcher->conn);
	match_run_release(&dispatcher->run);
	timeouts_release(&dispatcher->timeouts);
	pg_conn_free(dispatcher->conn);
	free(dispatcher);
}
