#include "build-service/strikes.h"

#include <string.h>

#include "build-service/counters.h"
#include "build-service/dispatch.h"
#include "common/base/clock.h"
#include "common/base/log.h"
#include "common/base/str.h"
#include "common/kafka/topics.h"
#include "kiln_build_service_sql.h"

/* Some were left: their partitions do not go on, and the next look finds the same. */
#define LEFT_PAUSE_MS 1000

void strikes_init(struct strikes *strikes, struct service *service)
{
	*strikes = (struct strikes){.service = service};
	barrier_init(&strikes->barrier, &service->ends);
	build_set_init(&strikes->set);
	worker_set_init(&strikes->workers);
	rows_init(&strikes->held_back, 2);
	strikes->context = (struct transition_context){.trail = &strikes->set.trail, .policy = &service->policy};
}

void strikes_release(struct strikes *strikes)
{
	build_set_release(&strikes->set);
	worker_set_release(&strikes->workers);
	command_list_release(&strikes->commands);
	rows_release(&strikes->held_back);
}

/* Most were accepted in time, by a partition that another instance owns: drops those from the round. */
static int keep_unanswered(struct strikes *strikes, struct pg_conn *conn, struct error *err)
{
	struct rows tokens;
	rows_init(&tokens, 3);
	for (size_t i = 0; i < strikes->round_len; i++) {
		rows_text(&tokens, strikes->round[i].token.build_id);
		rows_int(&tokens, strikes->round[i].token.attempt);
		rows_text(&tokens, strikes->round[i].token.lease_id);
	}
	struct pg_pipeline pipeline;
	PGresult *results[PG_PIPELINE_MAX];
	pg_pipeline_init(&pipeline, conn);
	rows_pipeline(&tokens, &pipeline, &sql_read_assigned_attempts, NULL);
	int rc = pg_pipeline_run(&pipeline, results, err);
	size_t kept = 0;
	for (size_t i = 0; rc == 0 && i < strikes->round_len; i++) {
		if (pg_find_row(results[0], "lease_id", strikes->round[i].token.lease_id) >= 0) /* unanswered */
			strikes->round[kept++] = strikes->round[i];
		else
			deadlines_drop(strikes->service->deadlines, strikes->round[i].token.lease_id);
	}
	strikes->round_len = rc == 0 ? kept : 0;
	pg_results_clear(results);
	rows_release(&tokens);
	return rc;
}

/* Its accept would be there. */
static struct partitions waits_for(const struct overdue *overdue)
{
	struct partitions waits = {{0}};
	partitions_add(&waits, BARRIER_RESULTS, overdue->token.build_id);
	return waits;
}

static void end_round(struct strikes *strikes)
{
	if (strikes->round_len > 0)
		strikes->next_round_ms = clock_boot_ms() + LEFT_PAUSE_MS;
	rounds_end(&strikes->rounds, strikes->round_len);
	strikes->round_len = 0;
}

static int begin_round(struct strikes *strikes, struct pg_conn *conn, struct error *err)
{
	if (clock_boot_ms() < strikes->next_round_ms)
		return 0;
	size_t len =
		deadlines_overdue(strikes->service->deadlines, strikes->rounds.passed_over, strikes->round, STRIKES_ROUND);
	strikes->round_len = len;
	rounds_begin(&strikes->rounds, len, STRIKES_ROUND);
	if (len > 0 && keep_unanswered(strikes, conn, err) < 0)
		return -1;
	if (strikes->round_len == 0) {
		end_round(strikes);
		return 0;
	}
	barrier_clear(&strikes->barrier);
	for (size_t i = 0; i < strikes->round_len; i++) {
		const struct partitions waits = waits_for(&strikes->round[i]);
		barrier_want(&strikes->barrier, &waits);
	}
	if (barrier_set(&strikes->barrier, conn, err) < 0) {
		strikes->round_len = 0;
		return -1;
	}
	return 0;
}

static bool was_struck(const struct strikes *strikes, const char *worker_id)
{
	for (size_t i = 0; i < strikes->ready_len; i++) {
		if (strikes->struck[i] && str_equal(strikes->round[i].worker.worker_id, worker_id))
			return true;
	}
	return false;
}

static int32_t assignments_partition(const char *worker_id)
{
	const struct topic *topic = topic_find(TOPIC_BUILD_ASSIGNMENTS);
	CHECK(topic->partitions == STRIKES_PARTITIONS);
	return topic_partition(topic, worker_id, strlen(worker_id));
}

/* The workers that missed some. What they missed lies before the end that was read after its deadline. */
static void hold_back(struct strikes *strikes)
{
	rows_clear(&strikes->held_back);
	for (size_t i = 0; i < strikes->workers.len; i++) {
		const char *id = strikes->workers.workers[i].id;
		if (!was_struck(strikes, id))
			continue;
		rows_text(&strikes->held_back, id);
		rows_int(&strikes->held_back, strikes->end[assignments_partition(id)].value);
	}
}

static int load(struct strikes *strikes, struct pg_conn *conn, struct error *err)
{
	struct pg_pipeline pipeline;
	PGresult *results[PG_PIPELINE_MAX];
	int workers, builds;
	pg_pipeline_init(&pipeline, conn);
	worker_set_pipeline_load(&strikes->workers, &pipeline, &workers);
	build_set_pipeline_load(&strikes->set, &pipeline, &builds);
	int rc = pg_pipeline_run(&pipeline, results, err);
	if (rc == 0)
		build_set_loaded(&strikes->set, results[builds + 1]);
	pg_results_clear(results);
	return rc;
}

/* Compares token and phase under the lock: an accept that came meanwhile stands. */
static size_t apply(struct strikes *strikes)
{
	size_t struck = 0;
	for (size_t i = 0; i < strikes->ready_len; i++) {
		const struct overdue *overdue = &strikes->round[i];
		strikes->struck[i] = false;
		struct build *build = build_set_find(&strikes->set, overdue->token.build_id);
		const struct occurrence occurrence = {
			.what = HAPPENED_LOSS, .token = overdue->token, .loss = {.reason = LOSS_ACCEPT_TIMEOUT}};
		if (!build->exists || build->attempt.state != ATTEMPT_ASSIGNED ||
			transition_apply(&strikes->context, build, &occurrence) != APPLIED)
			continue;
		log_warn("attempt not accepted in time", "build_id", build->id, "attempt", LOG_INT(overdue->token.attempt),
				 "worker_id", overdue->worker.worker_id, NULL);
		command_list_add(&strikes->commands,
						 &(struct command){.kind = COMMAND_ABANDON, .to = overdue->worker, .token = overdue->token});
		strikes->struck[i] = true;
		struck++;
	}
	return struck;
}

static int store_and_commit(struct strikes *strikes, struct pg_conn *conn, struct error *err)
{
	struct pg_pipeline pipeline;
	pg_pipeline_init(&pipeline, conn);
	rows_pipeline(&strikes->held_back, &pipeline, &sql_hold_back_workers, NULL);
	build_set_pipeline_store(&strikes->set, &pipeline);
	int rc = pg_pipeline_commit(&pipeline, err);
	if (rc < 0)
		dispatch_after_failure(strikes->service, err);
	return rc;
}

static int strike(struct strikes *strikes, struct pg_conn *conn, struct error *err)
{
	build_set_begin(&strikes->set);
	worker_set_begin(&strikes->workers);
	command_list_clear(&strikes->commands);
	for (size_t i = 0; i < strikes->ready_len; i++) {
		worker_set_want(&strikes->workers, strikes->round[i].worker.worker_id);
		build_set_want(&strikes->set, strikes->round[i].token.build_id);
	}
	if (pg_begin(conn, err) < 0 || load(strikes, conn, err) < 0)
		return -1;
	size_t struck = apply(strikes);
	if (struck == 0)
		return pg_commit(conn, err);
	hold_back(strikes);
	if (store_and_commit(strikes, conn, err) < 0)
		return -1;
	metric_add(&counter_accept_timeouts, (int64_t)struck);
	vacancies_add_set(&strikes->service->vacancies, &strikes->set);
	build_set_committed(&strikes->set, strikes->service->relay);
	commands_send(strikes->service->commands, &strikes->commands);
	wakeup_signal(&strikes->service->dispatch);
	return 0;
}

/* Asked before the transaction, whose locks nobody shall wait for because Kafka does not answer. Each partition is asked
 * for once in a look. */
static bool knows_end(struct strikes *strikes, struct inbox *inbox, struct end_offset_look *look, uint32_t *known,
					  const char *worker_id)
{
	int32_t partition = assignments_partition(worker_id);
	if ((*known >> partition & 1) == 0 &&
		end_offset_ask(&strikes->end[partition], look, inbox, TOPIC_BUILD_ASSIGNMENTS, partition))
		*known |= UINT32_C(1) << partition;
	return (*known >> partition & 1) != 0;
}

static bool is_ready(struct strikes *strikes, struct inbox *inbox, struct end_offset_look *look, uint32_t *known,
					 const struct overdue *overdue)
{
	const struct partitions waits = waits_for(overdue);
	return barrier_passed(&strikes->barrier, &waits) &&
		   knows_end(strikes, inbox, look, known, overdue->worker.worker_id);
}

/* Those that have passed the barrier come first. Partitions that did not tell their end the last time are asked last:
 * the look gives up at them. */
static void find_ready(struct strikes *strikes, struct inbox *inbox)
{
	struct end_offset_look look = {0};
	uint32_t known = 0; /* a bit for each partition */
	strikes->ready_len = 0;
	for (int told = 1; told >= 0; told--) {
		for (size_t i = strikes->ready_len; i < strikes->round_len; i++) {
			const struct overdue overdue = strikes->round[i];
			bool was_told = strikes->end[assignments_partition(overdue.worker.worker_id)].pause.last_ms == 0;
			if (was_told != told || !is_ready(strikes, inbox, &look, &known, &overdue))
				continue;
			strikes->round[i] = strikes->round[strikes->ready_len];
			strikes->round[strikes->ready_len++] = overdue;
		}
	}
}

static void drop_ready(struct strikes *strikes)
{
	for (size_t i = 0; i < strikes->ready_len; i++)
		deadlines_drop(strikes->service->deadlines, strikes->round[i].token.lease_id);
	strikes->round_len -= strikes->ready_len;
	memmove(strikes->round, strikes->round + strikes->ready_len, strikes->round_len * sizeof(strikes->round[0]));
	strikes->ready_len = 0;
}

int strikes_tick(struct strikes *strikes, struct inbox *inbox, struct pg_conn *conn, struct error *err)
{
	if (strikes->round_len == 0)
		return begin_round(strikes, conn, err);
	if (barrier_look(&strikes->barrier, conn, err) < 0)
		return -1;
	find_ready(strikes, inbox);
	if (strikes->ready_len > 0 && strike(strikes, conn, err) < 0) {
		pg_rollback(conn);
		return -1;
	}
	drop_ready(strikes);
	if (barrier_is_over(&strikes->barrier))
		end_round(strikes);
	return 0;
}
