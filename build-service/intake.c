#include "build-service/intake.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "build-service/batch.h"
#include "build-service/deadlines.h"
#include "build-service/dispatch.h"
#include "build-service/expiry.h"
#include "build-service/projects_reaper.h"
#include "build-service/releases.h"
#include "build-service/strikes.h"
#include "common/base/alloc.h"
#include "common/base/clock.h"
#include "common/base/log.h"
#include "common/base/thread.h"
#include "common/kafka/topics.h"
#include "kiln_build_service_sql.h"

#define BATCH_BYTES ((size_t)4 * 1024 * 1024)
#define TICK_MS 100
/* News of attempts that give nobody a slot come together: a transaction for each would keep the requests waiting. */
#define LINGER_MS 5
#define RETRY_MS 1000 /* after a chore failed */
#define EARLY_EVERY_MS 2000
/* That is once a minute: for there to be anything, an instance must have died at the wrong moment. */
#define HOLDERS_EVERY_LEASES 2
/* Assignments that the producer had no room for: so many in one look, and after one that finds it full a pause. */
#define UNSENT_AT_ONCE 32
#define FULL_PAUSE_MS 1000
#define STACK_BYTES ((size_t)1024 * 1024)

struct intake {
	struct service *service;
	struct inbox *inbox;
	struct leases *leases;
	struct batch *batch;
	struct strikes strikes;
	struct expiry expiry;
	struct projects_reaper reaper;
	struct rows taken; /* partitions of kiln.worker.events whose workers are not known yet */
	bool caught_up;    /* with a restore: nothing makes attempts any more but dispatch */
	uint64_t shards;   /* of the outbox that go with the partitions */
	int64_t chores_ms; /* not before */
	int64_t early_ms;
	int64_t unsent_ms;
	int64_t holders_ms;
	pthread_t thread;
};

/* --- the inbox's handler --- */

static int on_apply(void *ctx, struct pg_conn *tx, const struct inbox_record *const *records, size_t count,
					struct error *err)
{
	struct intake *intake = ctx;
	return batch_apply(intake->batch, tx, records, count, err);
}

static bool asks_first(void *ctx, const struct inbox_record *const *records, size_t count)
{
	const struct intake *intake = ctx;
	return !batch_may_be_optimistic(intake->batch, records, count);
}

/* What may let a build start. */
static bool is_urgent(void *ctx, const struct inbox_record *record)
{
	const struct intake *intake = ctx;
	static const char *const patient[] = {"attempt.accepted", "attempt.phase", "worker.heartbeat", "read.barrier"};
	if (strcmp(record->event.type, "attempt.finished") == 0)
		return atomic_load(&intake->service->waiting) || atomic_load(&intake->service->parked);
	for (size_t i = 0; i < ARRAY_LEN(patient); i++) {
		if (strcmp(record->event.type, patient[i]) == 0)
			return false;
	}
	return true;
}

static void on_committed(void *ctx, const struct inbox_record *const *records, size_t count)
{
	(void)records;
	(void)count;
	struct intake *intake = ctx;
	batch_committed(intake->batch);
}

static void on_taken(void *ctx, const char *topic, int32_t partition)
{
	struct intake *intake = ctx;
	if (strcmp(topic, TOPIC_WORKER_EVENTS) == 0) {
		leases_taken(intake->leases, partition);
		rows_int(&intake->taken, partition);
	}
	/* Every outbox key goes with a partition of the requests: topics have as many, or fewer. */
	if (strcmp(topic, TOPIC_BUILD_REQUESTS) == 0) {
		intake->shards |= UINT64_C(1) << partition;
		outbox_relay_own(intake->service->relay, intake->shards);
	}
}

static void on_lost(void *ctx, const char *topic, int32_t partition)
{
	struct intake *intake = ctx;
	if (strcmp(topic, TOPIC_WORKER_EVENTS) == 0)
		leases_lost(intake->leases, partition);
	if (strcmp(topic, TOPIC_BUILD_REQUESTS) == 0) {
		intake->shards &= ~(UINT64_C(1) << partition);
		outbox_relay_own(intake->service->relay, intake->shards);
	}
}

/* --- between batches --- */

static void add_owned(const struct intake *intake, struct rows *partitions)
{
	for (int32_t partition = 0; partition < topic_find(TOPIC_WORKER_EVENTS)->partitions; partition++) {
		if (inbox_owns(intake->inbox, TOPIC_WORKER_EVENTS, partition))
			rows_int(partitions, partition);
	}
}

/* After a restore, requests that are read again make attempts that run, by any instance, at workers whose own leases may
 * be over and forgotten by then: once the last of them is committed, all workers are looked at again. */
static void greet_all_again(struct intake *intake)
{
	intake->caught_up = true;
	add_owned(intake, &intake->taken);
}

/* Workers of partitions just taken over: their leases and accept deadlines run afresh (docs/protocol.md section 5). */
static int greet_partitions(struct intake *intake, struct pg_conn *conn, struct error *err)
{
	if (!intake->caught_up && intake->taken.len == 0 && atomic_load(&intake->service->epoch) >= 0)
		greet_all_again(intake);
	if (intake->taken.len == 0)
		return 0;
	struct pg_pipeline pipeline;
	PGresult *results[PG_PIPELINE_MAX];
	pg_pipeline_init(&pipeline, conn);
	rows_pipeline(&intake->taken, &pipeline, &sql_read_partition_workers, NULL);
	int rc = pg_pipeline_run(&pipeline, results, err);
	for (int row = 0; rc == 0 && row < PQntuples(results[0]); row++) {
		const char *id = pg_text(results[0], row, "id");
		int32_t partition = (int32_t)pg_int(results[0], row, "partition", 0);
		if (!inbox_owns(intake->inbox, TOPIC_WORKER_EVENTS, partition))
			continue;
		leases_watch(intake->leases, id, partition);
		if (pg_text(results[0], row, "build_id") == NULL)
			continue;
		struct fencing_token token = {.attempt = (int32_t)pg_int(results[0], row, "attempt", 0)};
		struct addressee worker = {.incarnation.counter = pg_int(results[0], row, "incarnation", 0)};
		memcpy(token.build_id, pg_text(results[0], row, "build_id"), UUID_TEXT_SIZE);
		memcpy(token.lease_id, pg_text(results[0], row, "lease_id"), UUID_TEXT_SIZE);
		memcpy(worker.worker_id, id, UUID_TEXT_SIZE);
		memcpy(worker.incarnation.nonce, pg_text(results[0], row, "nonce"), UUID_TEXT_SIZE);
		deadlines_start(intake->service->deadlines, &token, &worker);
	}
	pg_results_clear(results);
	if (rc == 0)
		rows_clear(&intake->taken);
	return rc;
}

static void mind_holders(struct intake *intake, const PGresult *rows)
{
	for (int row = 0; row < PQntuples(rows); row++) {
		const char *id = pg_text(rows, row, "id");
		int32_t partition = (int32_t)pg_int(rows, row, "partition", 0);
		if (leases_minds(intake->leases, id) || !inbox_owns(intake->inbox, TOPIC_WORKER_EVENTS, partition))
			continue;
		log_warn("a worker that was not minded holds attempts", "worker_id", id, NULL);
		leases_watch(intake->leases, id, partition);
	}
}

static int read_holders(struct intake *intake, struct rows *partitions, struct pg_conn *conn, struct error *err)
{
	struct pg_pipeline pipeline;
	PGresult *results[PG_PIPELINE_MAX];
	pg_pipeline_init(&pipeline, conn);
	rows_pipeline(partitions, &pipeline, &sql_read_holders, NULL);
	int rc = pg_pipeline_run(&pipeline, results, err);
	if (rc == 0)
		mind_holders(intake, results[0]);
	pg_results_clear(results);
	return rc;
}

/* An instance that has lost a worker's partition, and does not know it yet, gives it builds without looking at it again
 * (direct_pipeline_guard). By that commit its new owner may have expired and forgotten the worker. The accept deadline
 * ends that, unless it goes with its instance. The lease begins anew here: the worker may have been told. */
static int find_holders(struct intake *intake, struct pg_conn *conn, struct error *err)
{
	int64_t now_ms = clock_boot_ms();
	if (now_ms < intake->holders_ms)
		return 0;
	struct rows partitions;
	rows_init(&partitions, 1);
	add_owned(intake, &partitions);
	int rc = partitions.len > 0 ? read_holders(intake, &partitions, conn, err) : 0;
	rows_release(&partitions);
	if (rc == 0)
		intake->holders_ms = now_ms + HOLDERS_EVERY_LEASES * intake->service->config->lease_ms;
	return rc;
}

/* Those for which there is no room are lacking in later heartbeats, too. */
static int resend_lacking(struct intake *intake, struct pg_conn *conn, struct error *err)
{
	size_t len;
	bool full;
	const struct fencing_token *tokens = batch_resend(intake->batch, &len);
	if (dispatch_resend(intake->service, conn, tokens, len, &full, err) < 0)
		return -1;
	batch_resent(intake->batch);
	return 0;
}

static int resend_unsent(struct intake *intake, struct pg_conn *conn, struct error *err)
{
	struct fencing_token tokens[UNSENT_AT_ONCE];
	bool full;
	if (clock_boot_ms() < intake->unsent_ms)
		return 0;
	size_t len = deadlines_unsent(intake->service->deadlines, tokens, UNSENT_AT_ONCE);
	if (dispatch_resend(intake->service, conn, tokens, len, &full, err) < 0)
		return -1;
	if (full)
		intake->unsent_ms = clock_boot_ms() + FULL_PAUSE_MS;
	return 0;
}

static int strike(struct intake *intake, struct pg_conn *conn, struct error *err)
{
	return strikes_tick(&intake->strikes, intake->inbox, conn, err);
}

static int expire(struct intake *intake, struct pg_conn *conn, struct error *err)
{
	return expiry_tick(&intake->expiry, intake->inbox, conn, err);
}

static int reap_projects(struct intake *intake, struct pg_conn *conn, struct error *err)
{
	return projects_reaper_tick(&intake->reaper, conn, err);
}

static int early_results(struct intake *intake, struct pg_conn *conn, struct error *err)
{
	int64_t now_ms = clock_boot_ms();
	if (now_ms < intake->early_ms)
		return 0;
	intake->early_ms = now_ms + EARLY_EVERY_MS;
	return batch_apply_early(intake->batch, conn, err);
}

/* None of them waits for another one that fails. */
static const struct {
	const char *name;
	int (*run)(struct intake *intake, struct pg_conn *conn, struct error *err);
} chores[] = {
	{"workers of new partitions", greet_partitions},
	{"workers that hold attempts", find_holders},
	{"assignments that heartbeats lack", resend_lacking},
	{"assignments that there was no room for", resend_unsent},
	{"accept deadlines", strike},
	{"leases", expire},
	{"provisional projects", reap_projects},
	{"early results", early_results},
};

static void on_tick(void *ctx, struct pg_conn *conn)
{
	struct intake *intake = ctx;
	int64_t now_ms = clock_boot_ms();
	struct error err = ERROR_INIT;
	releases_tick(intake->service->releases);
	if (batch_look(intake->batch, conn, &err) < 0)
		log_warn("the workers were not looked at", "error", err.message, "sqlstate", err.sqlstate, NULL);
	if (now_ms < intake->chores_ms)
		return;
	intake->chores_ms = now_ms + TICK_MS;
	for (size_t i = 0; i < ARRAY_LEN(chores); i++) {
		if (chores[i].run(intake, conn, &err) == 0)
			continue;
		log_warn("a chore between batches: trying again", "chore", chores[i].name, "error", err.message, "sqlstate",
				 err.sqlstate, NULL);
		intake->chores_ms = now_ms + RETRY_MS;
	}
}

/* --- the thread --- */

static void *intake_thread(void *arg)
{
	struct intake *intake = arg;
	inbox_run(intake->inbox);
	batch_leave(intake->batch);
	return NULL;
}

int intake_start(struct service *service, struct intake **ret_intake, struct error *err)
{
	static const char *const topics[] = {TOPIC_BUILD_REQUESTS, TOPIC_BUILD_RESULTS, TOPIC_WORKER_EVENTS};
	struct intake *intake = xcalloc(1, sizeof(*intake));
	intake->service = service;
	intake->leases = leases_new(service->config->lease_ms);
	intake->batch = batch_new(service, intake->leases);
	strikes_init(&intake->strikes, service);
	expiry_init(&intake->expiry, service, intake->leases);
	projects_reaper_init(&intake->reaper, service);
	rows_init(&intake->taken, 1);
	static struct metric lag_seconds = INBOX_LAG_SECONDS(CONSUMER_NAME);
	const struct inbox_options options = {
		.consumer = CONSUMER_NAME,
		.topics = topics,
		.topics_len = ARRAY_LEN(topics),
		.max_records = (size_t)service->config->batch_records,
		.max_bytes = BATCH_BYTES,
		.tick_ms = TICK_MS,
		.linger_ms = LINGER_MS,
		.lag_seconds = &lag_seconds,
		.kafka = service->kafka,
		.pg = service->pg,
		.handler = {.ctx = intake,
					.apply = on_apply,
					.asks_first = asks_first,
					.urgent = is_urgent,
					.committed = on_committed,
					.tick = on_tick,
					.taken = on_taken,
					.lost = on_lost},
	};
	if (inbox_new(&options, &intake->inbox, err) < 0)
		return -1; /* the process ends */
	if (thread_start(&intake->thread, "intake", STACK_BYTES, intake_thread, intake, err) < 0)
		return -1;
	*ret_intake = intake;
	return 0;
}

void intake_stop(struct intake *intake)
{
	inbox_stop(intake->inbox);
	thread_join(intake->thread);
	inbox_free(intake->inbox);
	strikes_release(&intake->strikes);
	expiry_release(&intake->expiry);
	projects_reaper_release(&intake->reaper);
	batch_free(intake->batch);
	leases_free(intake->leases);
	rows_release(&intake->taken);
	free(intake);
}

bool intake_ready(struct intake *intake, struct buffer *why)
{
	return inbox_ready(intake->inbox, why);
}
