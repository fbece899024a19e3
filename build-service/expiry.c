#include "build-service/expiry.h"

#include <stdio.h>
#include <string.h>

#include "build-service/counters.h"
#include "build-service/dispatch.h"
#include "common/base/log.h"
#include "common/kafka/topics.h"
#include "kiln_build_service_sql.h"

void expiry_init(struct expiry *expiry, struct service *service, struct leases *leases)
{
	*expiry = (struct expiry){.service = service, .leases = leases};
	barrier_init(&expiry->barrier, &service->ends);
	build_set_init(&expiry->set);
	worker_set_init(&expiry->workers);
	expiry->losses = (struct losses){.leases = leases,
									 .set = &expiry->set,
									 .commands = &expiry->commands,
									 .context = {.trail = &expiry->set.trail, .policy = &service->policy}};
}

void expiry_release(struct expiry *expiry)
{
	build_set_release(&expiry->set);
	worker_set_release(&expiry->workers);
	command_list_release(&expiry->commands);
}

static void want_result(struct expiry *expiry, const char *worker_id, const char *build_id)
{
	for (size_t i = 0; i < expiry->round_len; i++) {
		if (strcmp(expiry->round[i].worker_id, worker_id) == 0)
			partitions_add(&expiry->waits[i], BARRIER_RESULTS, build_id);
	}
}

/* What the attempts at stake may have written: their builds' partitions of the results. */
static int want_results(struct expiry *expiry, struct pg_conn *conn, struct error *err)
{
	struct rows ids;
	rows_init(&ids, 1);
	for (size_t i = 0; i < expiry->round_len; i++)
		rows_text(&ids, expiry->round[i].worker_id);
	struct pg_pipeline pipeline;
	PGresult *results[PG_PIPELINE_MAX];
	pg_pipeline_init(&pipeline, conn);
	rows_pipeline(&ids, &pipeline, &sql_read_held_attempts, NULL);
	int rc = pg_pipeline_run(&pipeline, results, err);
	for (int row = 0; rc == 0 && row < PQntuples(results[0]); row++)
		want_result(expiry, pg_text(results[0], row, "worker_id"), pg_text(results[0], row, "build_id"));
	pg_results_clear(results);
	rows_release(&ids);
	return rc;
}

static int begin_round(struct expiry *expiry, struct pg_conn *conn, struct error *err)
{
	size_t len = leases_due(expiry->leases, expiry->rounds.passed_over, expiry->round, EXPIRY_ROUND);
	rounds_begin(&expiry->rounds, len, EXPIRY_ROUND);
	expiry->round_len = len;
	expiry->undone = 0;
	if (len == 0) {
		rounds_end(&expiry->rounds, 0);
		return 0;
	}
	barrier_clear(&expiry->barrier);
	for (size_t i = 0; i < len; i++) {
		expiry->waits[i] = (struct partitions){{0}};
		partitions_add(&expiry->waits[i], BARRIER_WORKER_EVENTS, expiry->round[i].worker_id);
	}
	int rc = want_results(expiry, conn, err);
	for (size_t i = 0; i < len; i++)
		barrier_want(&expiry->barrier, &expiry->waits[i]);
	if (rc < 0 || barrier_set(&expiry->barrier, conn, err) < 0) {
		expiry->round_len = 0;
		return -1;
	}
	return 0;
}

/* The fence, and what the worker holds under its lock. *ret_fenced: another instance has moved the partition on;
 * nothing is decided here. */
static int load_worker(struct expiry *expiry, struct inbox *inbox, const struct lease_due *due, struct pg_conn *conn,
					   bool *ret_fenced, struct error *err)
{
	char partition[16], offset[24];
	(void)snprintf(partition, sizeof(partition), "%d", (int)due->partition);
	(void)snprintf(offset, sizeof(offset), "%lld",
				   (long long)inbox_applied(inbox, TOPIC_WORKER_EVENTS, due->partition));
	const char *const fence[] = {CONSUMER_NAME, TOPIC_WORKER_EVENTS, partition, offset};
	struct pg_pipeline pipeline;
	PGresult *results[PG_PIPELINE_MAX];
	int first;
	worker_set_want(&expiry->workers, due->worker_id);
	pg_pipeline_init(&pipeline, conn);
	pg_pipeline_add(&pipeline, &sql_fence_offset, fence, ARRAY_LEN(fence));
	worker_set_pipeline_load(&expiry->workers, &pipeline, &first);
	int rc = pg_pipeline_run(&pipeline, results, err);
	if (rc == 0) {
		*ret_fenced = strcmp(PQcmdTuples(results[0]), "1") != 0;
		worker_set_loaded(&expiry->workers, &expiry->set.arena, results[first + 1], results[first + 2]);
	}
	pg_results_clear(results);
	return rc;
}

static int load_builds(struct expiry *expiry, struct pg_conn *conn, struct error *err)
{
	struct pg_pipeline pipeline;
	PGresult *results[PG_PIPELINE_MAX];
	int builds;
	pg_pipeline_init(&pipeline, conn);
	build_set_pipeline_load(&expiry->set, &pipeline, &builds);
	if (builds < 0)
		return 0;
	int rc = pg_pipeline_run(&pipeline, results, err);
	if (rc == 0)
		build_set_loaded(&expiry->set, results[builds + 1]);
	pg_results_clear(results);
	return rc;
}

static int store_and_commit(struct expiry *expiry, struct pg_conn *conn, struct error *err)
{
	struct pg_pipeline pipeline;
	pg_pipeline_init(&pipeline, conn);
	worker_set_pipeline_store(&expiry->workers, &pipeline);
	build_set_pipeline_store(&expiry->set, &pipeline);
	int rc = pg_pipeline_commit(&pipeline, err);
	if (rc < 0)
		dispatch_after_failure(expiry->service, err);
	return rc;
}

static int expire(struct expiry *expiry, struct inbox *inbox, struct lease_due *due, struct pg_conn *conn,
				  struct error *err)
{
	build_set_begin(&expiry->set);
	worker_set_begin(&expiry->workers);
	command_list_clear(&expiry->commands);
	bool fenced = false;
	if (pg_begin(conn, err) < 0 || load_worker(expiry, inbox, due, conn, &fenced, err) < 0)
		return -1;
	struct worker *worker = worker_set_find(&expiry->workers, due->worker_id);
	if (fenced) {
		pg_rollback(conn);
		expiry->undone++;
		return 0;
	}
	losses_want(&expiry->losses, due, worker);
	if (load_builds(expiry, conn, err) < 0)
		return -1;
	bool more;
	size_t lost = losses_apply(&expiry->losses, due, worker, &more);
	if (store_and_commit(expiry, conn, err) < 0)
		return -1;
	if (lost > 0 || (due->silent && worker->state != WORKER_GONE))
		log_warn(due->silent ? "worker not heard of any more" : "attempts not held any more", "worker_id",
				 due->worker_id, "lost", LOG_INT(lost), NULL);
	if (more)
		leases_expired_in_part(expiry->leases, due);
	else
		leases_forget_due(expiry->leases, due);
	expiry->undone += more;
	metric_add(&counter_leases_expired, (int64_t)lost);
	vacancies_add_set(&expiry->service->vacancies, &expiry->set);
	build_set_committed(&expiry->set, expiry->service->relay);
	commands_send(expiry->service->commands, &expiry->commands);
	wakeup_signal(&expiry->service->dispatch);
	return 0;
}

static void take_out(struct expiry *expiry, size_t index)
{
	size_t last = --expiry->round_len;
	expiry->round[index] = expiry->round[last];
	expiry->waits[index] = expiry->waits[last];
}

int expiry_tick(struct expiry *expiry, struct inbox *inbox, struct pg_conn *conn, struct error *err)
{
	if (expiry->round_len == 0)
		return begin_round(expiry, conn, err);
	int rc = 0;
	if (barrier_look(&expiry->barrier, conn, err) < 0)
		return -1;
	for (size_t i = expiry->round_len; i-- > 0;) {
		struct lease_due *due = &expiry->round[i];
		if (!barrier_passed(&expiry->barrier, &expiry->waits[i]))
			continue;
		/* Heard of since the round began: then it is not due any more. */
		bool reads = inbox_reads(inbox, TOPIC_WORKER_EVENTS, due->partition);
		bool failed = reads && leases_still_due(expiry->leases, due) && expire(expiry, inbox, due, conn, err) < 0;
		if (failed) {
			pg_rollback(conn);
			rc = -1; /* it is due in a later round, too, and holds up no other */
		}
		expiry->undone += failed || !reads;
		take_out(expiry, i);
	}
	if (barrier_is_over(&expiry->barrier)) {
		rounds_end(&expiry->rounds, expiry->round_len + expiry->undone);
		expiry->round_len = 0;
	}
	return rc;
}
