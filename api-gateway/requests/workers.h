/*
 * Threads for what blocks: a bounded queue of requests, a few threads, at most one Postgres connection each. A full
 * queue is 503 at once; a request that is not answered within its deadline is 503 too (lend.h), and is not begun any
 * more.
 */
#pragma once

#include "api-gateway/requests/request.h"
#include "api-gateway/requests/worker_task.h"
#include "common/pg/pg.h"

int workers_start(struct gateway *gateway, struct workers **ret_workers, struct error *err) MUST_CHECK;
/* After the loops are gone: ends the threads and frees them; what is queued runs out without Postgres. Takes NULL. */
void workers_stop(struct workers *workers);

/* Any thread. False: the queue is full. */
bool workers_try(struct workers *workers, struct worker_task *task) MUST_CHECK;

/* Loop: runs route->handler on a worker, then sends the answer. */
void workers_submit(struct request *request);
/* The same with `make` instead of the handler; it ends with representation_finish. */
void workers_answer(struct request *request, void (*make)(struct request *request));
/* Any thread that the request was lent to (lend.h): goes on as workers_answer. */
void workers_pass_on(struct request *request, void (*make)(struct request *request));
/* Loop: runs `job` on a worker; then the loop calls `done`, which has a reference to drop. False: the queue is
 * full, and the request is answered with 503. */
bool workers_run(struct request *request, void (*job)(struct request *request),
				 void (*done)(struct request *request)) MUST_CHECK;

/* A connection for the time of one handler; given back by CLEANUP(db_give) however the handler ends. */
struct db {
	struct workers *workers;
	struct pg_conn *conn;
};
/* Worker. ERR_UNAVAILABLE at once while Postgres is known to be away and in workers_stop, ERR_LIMIT when no connection
 * gets free. */
int workers_connection(struct workers *workers, struct db *ret_db, struct error *err) MUST_CHECK;
/* Worker. -1: request->answer says that Postgres is away. Fails at once while it is known to be. */
int db_take(struct request *request, struct db *ret_db) MUST_CHECK;
void db_give(struct db *db);
/* Makes request->answer from a failed call: of a commit whose fate is unknown outcome-unknown, with the build that the
 * request is about. Returns -1. */
int db_problem(struct request *request, const struct error *err);
