#include "api-gateway/requests/workers.h"

#include "api-gateway/callers/caches.h"
#include "api-gateway/requests/lend.h"
#include "api-gateway/requests/representation.h"
#include "api-gateway/requests/loop.h"
#include "common/base/alloc.h"
#include "common/base/clock.h"
#include "common/base/log.h"
#include "common/base/metrics.h"
#include "common/base/queue.h"
#include "common/base/str.h"
#include "common/base/thread.h"
#include "common/pg/pool.h"

#define POP_MS 60000
#define TAKE_MS 5000
/* A broker that is slow answers later than a proof is made. */
#define SEND_PATIENCE_MS 1500
#define PROOF_PATIENCE_MS 500
#define THREAD_STACK_BYTES ((size_t)512 * 1024)

struct workers {
	struct gateway *gateway;
	struct queue *queue;
	struct pg_pool *pool;
	pthread_t *threads;
	size_t count;
	_Atomic bool stopping;
};

static struct metric queued = {
	.kind = METRIC_GAUGE, .name = "kiln_gateway_queued_requests", .help = "Requests that wait for a worker."};

static void *work(void *arg)
{
	struct workers *workers = arg;
	for (;;) {
		struct worker_task *one = queue_pop(workers->queue, POP_MS);
		if (one == NULL) {
			if (queue_closed(workers->queue))
				return NULL;
			continue;
		}
		metric_add(&queued, -1);
		one->run(one);
	}
}

static int start_threads(struct workers *workers, struct error *err)
{
	for (; workers->count < (size_t)workers->gateway->config->workers; workers->count++) {
		pthread_t *thread = &workers->threads[workers->count];
		if (thread_start(thread, "gateway-worker", THREAD_STACK_BYTES, work, workers, err) < 0)
			return -1;
	}
	return 0;
}

int workers_start(struct gateway *gateway, struct workers **ret_workers, struct error *err)
{
	const struct gateway_config *config = gateway->config;
	struct workers *workers = xcalloc(1, sizeof(*workers));
	workers->gateway = gateway;
	/* Together they leave others an eighth of the workers at least, where there are eight. */
	int some = config->workers < 4 ? 1 : (int)config->workers / 4;
	send_limits_init(&gateway->sends, some < 2 ? 1 : some / 2, SEND_PATIENCE_MS);
	wait_limit_init(&gateway->proofs, some, PROOF_PATIENCE_MS);
	wait_limit_init(&gateway->applied, some < 2 ? 1 : some / 2, PROOF_PATIENCE_MS);
	send_limits_init(&gateway->log_waits, some < 2 ? 1 : some / 2, PROOF_PATIENCE_MS);
	workers->queue = queue_new((size_t)config->worker_queue);
	workers->threads = xcalloc((size_t)config->workers, sizeof(*workers->threads));
	/* All shorter than a request's deadline. */
	char *url = pg_indexed_url(config->database_url); /* the plans of lists are known, not guessed */
	const struct pg_settings settings = {
		.url = url,
		.application_name = "kiln-gateway",
		.connect_timeout_ms = 2000,
		.call_timeout_ms = 4000,
		.statement_timeout_ms = 3500,
		.lock_timeout_ms = 3000,
		.idle_in_transaction_timeout_ms = 10000,
	};
	workers->pool = pg_pool_new(&settings, (size_t)config->workers);
	free(url);
	metric_register(&queued);
	lend_register_metrics();
	if (start_threads(workers, err) < 0) {
		workers_stop(workers);
		return -1;
	}
	*ret_workers = workers;
	return 0;
}

void workers_stop(struct workers *workers)
{
	if (workers == NULL)
		return;
	/* The queue runs out; nobody waits for its answers any more, so none of them waits for Postgres. */
	atomic_store(&workers->stopping, true);
	queue_close(workers->queue);
	for (size_t i = 0; i < workers->count; i++)
		thread_join(workers->threads[i]);
	pg_pool_free(workers->pool);
	queue_free(workers->queue);
	free(workers->threads);
	free(workers);
}

static void run_handler(struct request *request)
{
	bool done = request->route->handler(request);
	CHECK(done && (request->answer.status != 0 || request->plan != NULL));
	representation_finish(request, true);
}

bool workers_try(struct workers *workers, struct worker_task *one)
{
	metric_add(&queued, 1);
	if (queue_try_push(workers->queue, one))
		return true;
	metric_add(&queued, -1);
	return false;
}

static void run_request(struct worker_task *one)
{
	struct request *request = CONTAINER_OF(one, struct request, task);
	if (stage_begin(&request->stage))
		request->job(request);
	else /* nobody hears of it; but whoever looks at the answer sees that nothing was done */
		(void)problem_answer(request, PROBLEM_OVERLOADED, "Too many requests are waiting.");
	if (request->job_done != NULL)
		request_post(request, request->job_done);
	else
		request_return(request);
}

static bool give(struct request *request, void (*job)(struct request *request), void (*done)(struct request *request))
{
	request->task.run = run_request;
	request->job = job;
	request->job_done = done;
	return workers_try(request->gateway->workers, &request->task);
}

/* False: answered with 503. */
static bool submit(struct request *request, void (*job)(struct request *request), void (*done)(struct request *request))
{
	request_lend(request);
	if (give(request, job, done))
		return true;
	request_lend_refused(request);
	return false;
}

void workers_answer(struct request *request, void (*make)(struct request *request))
{
	(void)submit(request, make, NULL);
}

bool workers_run(struct request *request, void (*job)(struct request *request), void (*done)(struct request *request))
{
	return submit(request, job, done);
}

void workers_pass_on(struct request *request, void (*make)(struct request *request))
{
	if (!give(request, make, NULL))
		request_return_refused(request);
}

void workers_submit(struct request *request)
{
	workers_answer(request, run_handler);
}

int workers_connection(struct workers *workers, struct db *ret_db, struct error *err)
{
	if (atomic_load(&workers->stopping) || !caches_database_up(workers->gateway->caches))
		return error_set(err, ERR_UNAVAILABLE, "the database does not answer");
	if (pg_pool_take(workers->pool, TAKE_MS, &ret_db->conn, err) < 0)
		return -1;
	ret_db->workers = workers;
	return 0;
}

int db_take(struct request *request, struct db *ret_db)
{
	struct error err = ERROR_INIT;
	if (workers_connection(request->gateway->workers, ret_db, &err) == 0)
		return 0;
	return err.kind == ERR_UNAVAILABLE
			   ? problem_answer(request, PROBLEM_DATABASE_UNAVAILABLE, "The database does not answer.")
			   : problem_answer(request, PROBLEM_OVERLOADED, "No database connection is free.");
}

void db_give(struct db *db)
{
	if (db->conn != NULL)
		pg_pool_give(db->workers->pool, db->conn);
	db->conn = NULL;
}

int db_problem(struct request *request, const struct error *err)
{
	/* Whatever is told of the statement: one that only reads need not begin with SELECT (pg.h). */
	bool reads = str_equal(request->route->method, "GET");
	switch (err->kind == ERR_UNKNOWN && reads ? (int)ERR_UNAVAILABLE : (int)err->kind) {
	case ERR_UNAVAILABLE:
	case ERR_TIMEOUT:
	case ERR_LIMIT:
	case ERR_CONFLICT:  /* deadlocks and lock time-outs; expected conflicts are handled where they are expected */
	case ERR_CANCELLED: /* the client has its answer already (lend.h) */
		log_warn("database", "request_id", request->id, "error", err->message, NULL);
		return problem_answer(request, PROBLEM_DATABASE_UNAVAILABLE, "The database does not answer.");
	case ERR_UNKNOWN:
		log_warn("database", "request_id", request->id, "error", err->message, NULL);
		return problem_answer_unknown(request, "The database's answer to the commit was lost.");
	default:
		log_error("database", "request_id", request->id, "error", err->message, "sqlstate", err->sqlstate, NULL);
		return problem_answer(request, PROBLEM_INTERNAL, "The database refused a statement.");
	}
}
