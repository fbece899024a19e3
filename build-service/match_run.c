#include "build-service/match_run.h"

#include <stdio.h>
#include <string.h>

#include "build-service/assignment.h"
#include "build-service/counters.h"
#include "build-service/deadlines.h"
#include "build-service/transitions.h"
#include "common/base/log.h"
#include "common/base/str.h"
#include "kiln_build_service_sql.h"
#include "kiln_matching_sql.h"

void match_run_init(struct match_run *run, struct service *service, struct pg_conn *conn)
{
	*run = (struct match_run){.service = service, .conn = conn};
	build_set_init(&run->set);
	run->context = (struct transition_context){.trail = &run->set.trail, .policy = &service->policy};
	rows_init(&run->chosen_workers, 1);
	rows_init(&run->claims, 3);
	rows_init(&run->parked, 1);
}

void match_run_release(struct match_run *run)
{
	build_set_release(&run->set);
	rows_release(&run->chosen_workers);
	rows_release(&run->claims);
	rows_release(&run->parked);
}

/* --- the look --- */

static struct match_result match_read(struct match_run *run, const PGresult *slot_rows)
{
	size_t len;
	struct match_slot *slots = match_slots_read(slot_rows, &run->set.arena, &len);
	return match(run->workers, run->workers_len, run->candidates, run->candidates_len, slots, len);
}

/* Most wake-ups find that nobody waits: a slot was given back. They see it without the lock, which new builds try
 * (direct.h): who begins to wait after this look wakes a turn of his own, which sees that slot too. */
static int anybody_waits(struct match_run *run, bool *ret_waits, struct error *err)
{
	CLEANUP(pg_result_p) PGresult *row = NULL;
	if (pg_query(run->conn, &sql_match_anybody, NULL, 0, &row, err) < 0)
		return -1;
	*ret_waits = pg_bool(row, 0, "waits");
	atomic_store(&run->service->waiting, *ret_waits);
	return 0;
}

/* The lock, and what there is under it. */
static int look(struct match_run *run, struct match_result *ret_result, struct error *err)
{
	enum { LOCK, WORKERS, SLOTS, CANDIDATES };
	char fresh_ms[24], max[24], past[24];
	(void)snprintf(fresh_ms, sizeof(fresh_ms), "%lld", (long long)run->service->config->worker_fresh_ms);
	(void)snprintf(max, sizeof(max), "%d", MATCH_MAX);
	(void)snprintf(past, sizeof(past), "%d", run->crowded ? MATCH_LOOK_PAST_CROWD : MATCH_LOOK_PAST);
	const char *const params[] = {fresh_ms, max, past};
	struct pg_pipeline pipeline;
	PGresult *results[PG_PIPELINE_MAX];
	pg_pipeline_init(&pipeline, run->conn);
	pg_pipeline_add(&pipeline, &sql_match_lock, NULL, 0);
	pg_pipeline_add(&pipeline, &sql_match_workers, params, 1);
	pg_pipeline_add(&pipeline, &sql_match_slots, NULL, 0);
	pg_pipeline_add(&pipeline, &sql_match_candidates, params, 3);
	int rc = pg_pipeline_run(&pipeline, results, err);
	if (rc == 0) {
		run->workers = match_workers_read(results[WORKERS], &run->set.arena, &run->workers_len);
		run->candidates = match_candidates_read(results[CANDIDATES], &run->set.arena, &run->candidates_len);
		*ret_result = match_read(run, results[SLOTS]);
	}
	pg_results_clear(results);
	return rc;
}

/* --- lock and read --- */

static void choose(struct match_run *run)
{
	rows_clear(&run->chosen_workers);
	rows_clear(&run->claims);
	rows_clear(&run->parked);
	for (size_t i = 0; i < run->candidates_len; i++) {
		const struct match_candidate *candidate = &run->candidates[i];
		if (candidate->full && !candidate->parked)
			rows_text(&run->parked, candidate->build_id);
		if (candidate->worker == NULL)
			continue;
		build_set_want(&run->set, candidate->build_id);
		rows_text(&run->chosen_workers, candidate->worker->address.worker_id);
		if (candidate->slot > 0) {
			rows_text(&run->claims, candidate->project_id);
			rows_int(&run->claims, candidate->slot);
			rows_text(&run->claims, candidate->build_id);
		}
	}
}

/* Still the worker that was looked at? */
static bool worker_stands(const PGresult *rows, const struct addressee *address)
{
	int row = pg_find_row(rows, "id", address->worker_id);
	return row >= 0 && str_equal(pg_text(rows, row, "state"), "active") &&
		   pg_int(rows, row, "incarnation", 0) == address->incarnation.counter &&
		   str_equal(pg_text(rows, row, "nonce"), address->incarnation.nonce);
}

/* A build that was looked at may have been cancelled meanwhile, its worker replaced: then its claim goes with this
 * transaction's other deletes. */
static size_t assign(struct match_run *run, const PGresult *workers, const PGresult *claims)
{
	size_t assigned = 0;
	for (size_t i = 0; i < run->candidates_len; i++) {
		const struct match_candidate *candidate = &run->candidates[i];
		if (candidate->worker == NULL)
			continue;
		struct build *build = build_set_find(&run->set, candidate->build_id);
		bool claimed = candidate->slot > 0 && pg_find_row(claims, "build_id", candidate->build_id) >= 0;
		enum applied applied = APPLIED_ILLEGAL;
		if (build->exists && worker_stands(workers, &candidate->worker->address) && (claimed || candidate->slot == 0)) {
			applied = assignment_decide(run->service, &run->context, build, &candidate->worker->address);
		}
		if (applied == APPLIED)
			assigned++;
		else if (claimed)
			build->slot_released = build->changed = true;
	}
	return assigned;
}

/* --- write, commit, send --- */

/* *ret_parked: some were, so that others stand before now. */
static int write_and_commit(struct match_run *run, bool *ret_parked, struct error *err)
{
	struct pg_pipeline pipeline;
	PGresult *results[PG_PIPELINE_MAX];
	pg_pipeline_init(&pipeline, run->conn);
	build_set_pipeline_store(&run->set, &pipeline);
	int parked = run->parked.len == 0 ? -1 : (int)pipeline.len;
	rows_pipeline(&run->parked, &pipeline, &sql_match_park, NULL);
	pg_pipeline_commit_tx(&pipeline);
	int rc = pg_pipeline_run(&pipeline, results, err);
	*ret_parked = rc == 0 && parked >= 0 && strcmp(PQcmdTuples(results[parked]), "0") != 0;
	pg_results_clear(results);
	return rc;
}

static void send_all(struct match_run *run, const PGresult *rows)
{
	CLEANUP(buffer_release_p) struct buffer body;
	buffer_init(&body, ASSIGNMENT_MAX_BYTES);
	int64_t assigned = 0;
	for (int row = 0; row < PQntuples(rows); row++) {
		const struct build *build = build_set_find(&run->set, pg_text(rows, row, "id"));
		if (build == NULL || !build->attempt.is_new)
			continue;
		struct assignment assignment = {.mode = build->attempt.mode, .assigned_at = run->set.trail.time};
		assignment_take_row(&assignment, rows, row);
		build_assignee(build, &assignment.token, &assignment.to);
		assignment_send(run->service, &assignment, &body);
		metric_observe_us(&histogram_dispatch, pg_int(rows, row, "queued_us", 0));
		assigned++;
	}
	metric_add(&counter_assigned, assigned);
}

static void mind_unknown(struct match_run *run)
{
	for (size_t i = 0; i < run->set.ids_len; i++) {
		const struct build *build = &run->set.builds[i];
		if (build->attempt.is_new)
			assignment_mind(run->service, build);
	}
}

static int lock_and_assign(struct match_run *run, bool *ret_parked, struct error *err)
{
	struct pg_pipeline pipeline;
	PGresult *results[PG_PIPELINE_MAX];
	int builds;
	pg_pipeline_init(&pipeline, run->conn);
	rows_pipeline(&run->chosen_workers, &pipeline, &sql_match_lock_workers, NULL);
	build_set_pipeline_load(&run->set, &pipeline, &builds);
	int assignments = (int)pipeline.len;
	rows_pipeline(&run->set.id_rows, &pipeline, &sql_read_assignments, NULL);
	int claims = run->claims.len == 0 ? -1 : (int)pipeline.len;
	rows_pipeline(&run->claims, &pipeline, &sql_claim_slots, NULL);
	int rc = pg_pipeline_run(&pipeline, results, err);
	if (rc == 0) {
		build_set_loaded(&run->set, results[builds + 1]);
		(void)assign(
			run, results[0],
			claims < 0
				? NULL
				: results[claims]); /* none: what was looked at has changed, and its change wakes the next match */
		rc = write_and_commit(run, ret_parked, err);
		if (rc == 0)
			send_all(run, results[assignments]);
		else if (err->kind == ERR_UNKNOWN)
			mind_unknown(run);
	}
	pg_results_clear(results);
	return rc;
}

static int match_in_transaction(struct match_run *run, bool *ret_again, struct error *err)
{
	struct match_result found = {.assigned = 0};
	bool parked = false;
	if (pg_begin(run->conn, err) < 0 || look(run, &found, err) < 0)
		return -1;
	choose(run);
	int rc;
	if (found.assigned > 0)
		rc = lock_and_assign(run, &parked, err);
	else if (found.full > 0)
		rc = write_and_commit(run, &parked, err);
	else
		rc = pg_commit(run->conn, err);
	run->crowded = found.full >= MATCH_LOOK_PAST;
	*ret_again = parked || (found.assigned > 0 && run->candidates_len >= MATCH_MAX);
	return rc;
}

int match_run_once(struct match_run *run, bool *ret_again, struct error *err)
{
	int64_t began_us = clock_boot_us();
	bool waits = false;
	*ret_again = false;
	if (anybody_waits(run, &waits, err) < 0)
		return -1;
	if (!waits)
		return 0;
	build_set_begin(&run->set);
	run->candidates_len = 0;
	int rc = match_in_transaction(run, ret_again, err);
	match_workers_release(run->workers, run->workers_len);
	run->workers_len = 0;
	if (rc < 0)
		pg_rollback(run->conn);
	else
		build_set_publish(&run->set, run->service->relay);
	metric_observe_us(&histogram_match, clock_boot_us() - began_us);
	return rc;
}
