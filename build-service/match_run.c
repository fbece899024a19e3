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

/* What the builds of one match ask for, which is read under its lock and sent at once: half of what the producer takes
 * (common/kafka/producer.c), and the last of them may be larger. */
#define MATCH_BYTES "33554432"

/* Builds that come back into the line at once: an UPDATE of some milliseconds. */
#define UNPARK_MAX 500
#define UNPARK_MAX_TEXT "500"

void match_run_init(struct match_run *run, struct service *service, struct pg_conn *conn)
{
	*run = (struct match_run){.service = service, .conn = conn, .tries = conn == NULL};
	build_set_init(&run->set);
	run->context = (struct transition_context){.trail = &run->set.trail, .policy = &service->policy};
	rows_init(&run->chosen, 1);
	rows_init(&run->chosen_workers, 1);
	rows_init(&run->claims, 3);
	rows_init(&run->parked, 1);
	rows_init(&run->vacated, 1);
}

void match_run_release(struct match_run *run)
{
	CHECK(run->assignments == NULL && run->workers == NULL);
	build_set_release(&run->set);
	rows_release(&run->chosen);
	rows_release(&run->chosen_workers);
	rows_release(&run->claims);
	rows_release(&run->parked);
	rows_release(&run->vacated);
}

/* --- the look --- */

static struct match_result match_read(struct match_run *run, const PGresult *slot_rows)
{
	size_t len;
	struct match_slot *slots = match_slots_read(slot_rows, &run->set.arena, &len);
	return match(run->workers, run->workers_len, run->candidates, run->candidates_len, slots, len);
}

static void plan_unpark(struct rows *projects, struct pg_pipeline *pipeline)
{
	pg_pipeline_add(pipeline, &sql_unpark, PG_PARAMS(NULL, UNPARK_MAX_TEXT), 2);
	if (projects->len > 0)
		rows_params(projects, pipeline, 0);
}

/* Most wake-ups find that nobody waits: a slot was given back. They see it without the lock, which new builds try
 * (direct.h): who begins to wait after this look wakes a turn of his own, which sees that slot too. Neither do builds
 * need the lock that come back into the line (vacancies.h). *ret_more: not all of them came. */
static int anybody_waits(struct match_run *run, bool *ret_waits, bool *ret_more, struct error *err)
{
	struct service *service = run->service;
	struct pg_pipeline pipeline;
	PGresult *results[PG_PIPELINE_MAX];
	bool all = vacancies_take(&service->vacancies, &run->vacated);
	bool unparks = all || run->vacated.len > 0;
	pg_pipeline_init(&pipeline, run->conn);
	if (unparks)
		plan_unpark(&run->vacated, &pipeline);
	pg_pipeline_add(&pipeline, &sql_match_anybody, NULL, 0);
	int rc = pg_pipeline_run(&pipeline, results, err);
	if (rc == 0) {
		const PGresult *anybody = results[pipeline.len - 1];
		*ret_more = unparks && pg_int(results[0], 0, "unparked", 0) >= UNPARK_MAX;
		*ret_waits = pg_bool(anybody, 0, "waits");
		atomic_store(&service->waiting, *ret_waits);
		atomic_store(&service->parked, pg_bool(anybody, 0, "parked"));
	}
	if (rc < 0 || *ret_more)
		vacancies_add_all(&service->vacancies);
	pg_results_clear(results);
	return rc;
}

void match_run_plan(struct match_run *run, struct rows *vacated, struct pg_pipeline *pipeline)
{
	build_set_begin(&run->set);
	run->candidates_len = run->assigned = 0;
	run->unparked = 0;
	run->cut = run->locked = false;
	run->found = (struct match_result){.assigned = 0};
	(void)snprintf(run->fresh_ms, sizeof(run->fresh_ms), "%lld",
				   (long long)run->service->config->worker_fresh_ms); /* these fit */
	(void)snprintf(run->max, sizeof(run->max), "%d", MATCH_MAX);
	(void)snprintf(run->past_text, sizeof(run->past_text), "%d", run->past);
	const char *const params[] = {run->fresh_ms, run->max, run->past_text};
	run->lock = (int)pipeline->len;
	pg_pipeline_add(pipeline, run->tries ? &sql_match_try_lock : &sql_match_lock, NULL, 0);
	run->unpark = vacated != NULL && vacated->len > 0 ? (int)pipeline->len : -1;
	if (run->unpark >= 0)
		plan_unpark(vacated, pipeline);
	run->looks = (int)pipeline->len;
	pg_pipeline_add(pipeline, &sql_match_workers, params, 1);
	pg_pipeline_add(pipeline, &sql_match_slots, NULL, 0);
	pg_pipeline_add(pipeline, &sql_match_candidates, params, 3);
}

/* What there is under the lock. */
static void see(struct match_run *run, PGresult *const *results)
{
	enum { WORKERS, SLOTS, CANDIDATES };
	PGresult *const *of = results + run->looks;
	run->locked = !run->tries || pg_bool(results[run->lock], 0, "locked");
	if (run->unpark >= 0)
		run->unparked = pg_int(results[run->unpark], 0, "unparked", 0);
	if (!run->locked)
		return;
	run->workers = match_workers_read(of[WORKERS], &run->set.arena, &run->workers_len);
	run->candidates = match_candidates_read(of[CANDIDATES], &run->set.arena, &run->candidates_len);
	run->found = match_read(run, of[SLOTS]);
	run->past = run->found.full >= MATCH_LOOK_PAST ? MATCH_LOOK_PAST_CROWD : run->found.full > 0 ? MATCH_LOOK_PAST : 0;
}

/* --- lock and read --- */

static void choose(struct match_run *run)
{
	rows_clear(&run->chosen);
	rows_clear(&run->chosen_workers);
	rows_clear(&run->claims);
	rows_clear(&run->parked);
	for (size_t i = 0; i < run->candidates_len; i++) {
		const struct match_candidate *candidate = &run->candidates[i];
		if (candidate->full)
			rows_text(&run->parked, candidate->build_id);
		if (candidate->worker == NULL)
			continue;
		build_set_want(&run->set, candidate->build_id);
		rows_text(&run->chosen, candidate->build_id);
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
	return row >= 0 && str_equal(pg_text(rows, row, "state"), "active") && pg_bool(rows, row, "caught_up") &&
		   pg_int(rows, row, "incarnation", 0) == address->incarnation.counter &&
		   str_equal(pg_text(rows, row, "nonce"), address->incarnation.nonce);
}

/* `locked`: those that are locked; NULL: all are. */
static bool build_stands(const struct build *build, const PGresult *locked)
{
	return build->exists && (locked == NULL || pg_find_row(locked, "id", build->id) >= 0);
}

/* A build that was looked at may have been cancelled meanwhile, its worker replaced: then its claim goes with this
 * transaction's other deletes. So does that of one whose turn comes after what is known of them (`told`) ends. */
static void assign(struct match_run *run, const PGresult *workers, const PGresult *locked, const PGresult *claims,
				   size_t told)
{
	size_t turn = 0;
	run->cut = told < run->chosen.len;
	for (size_t i = 0; i < run->candidates_len; i++) {
		const struct match_candidate *candidate = &run->candidates[i];
		if (candidate->worker == NULL)
			continue;
		struct build *build = build_set_find(&run->set, candidate->build_id);
		bool claimed = candidate->slot > 0 && pg_find_row(claims, "build_id", candidate->build_id) >= 0;
		enum applied applied = APPLIED_ILLEGAL;
		if (turn++ < told && build_stands(build, locked) && worker_stands(workers, &candidate->worker->address) &&
			(claimed || candidate->slot == 0) && !trail_is_full(&run->set.trail))
			applied = assignment_decide(run->service, &run->context, build, &candidate->worker->address);
		if (applied == APPLIED)
			run->assigned++;
		else if (claimed)
			build->slot_released = true; /* and nothing else: it may be locked by somebody who changes it */
	}
}

static int lock_and_assign(struct match_run *run, struct error *err)
{
	struct pg_pipeline pipeline;
	PGresult *results[PG_PIPELINE_MAX];
	int builds;
	pg_pipeline_init(&pipeline, run->conn);
	rows_pipeline(&run->chosen_workers, &pipeline, run->tries ? &sql_match_try_lock_workers : &sql_match_lock_workers,
				  NULL);
	if (run->tries)
		build_set_pipeline_try_load(&run->set, &pipeline, &builds);
	else
		build_set_pipeline_load(&run->set, &pipeline, &builds);
	int assignments = (int)pipeline.len;
	rows_pipeline(&run->chosen, &pipeline, &sql_read_assignments, MATCH_BYTES);
	int claims = run->claims.len == 0 ? -1 : (int)pipeline.len;
	rows_pipeline(&run->claims, &pipeline, &sql_claim_slots, NULL);
	int rc = pg_pipeline_run(&pipeline, results, err);
	if (rc == 0) {
		build_set_loaded(&run->set, results[builds + 1]);
		assign(run, results[0], run->tries ? results[builds] : NULL, claims < 0 ? NULL : results[claims],
			   (size_t)PQntuples(results[assignments]));
		run->assignments = results[assignments];
		results[assignments] = NULL;
	}
	pg_results_clear(results);
	return rc;
}

int match_run_take(struct match_run *run, PGresult *const *results, struct error *err)
{
	see(run, results);
	choose(run);
	return run->found.assigned > 0 ? lock_and_assign(run, err) : 0;
}

/* What is left of a match when it is over, either way. */
static void forget(struct match_run *run)
{
	match_workers_release(run->workers, run->workers_len);
	run->workers = NULL;
	run->workers_len = 0;
	PQclear(run->assignments);
	run->assignments = NULL;
}

/* --- write, commit, send --- */

void match_run_pipeline_store(struct match_run *run, struct pg_pipeline *pipeline, int *ret_parked)
{
	build_set_pipeline_store(&run->set, pipeline);
	*ret_parked = run->parked.len == 0 ? -1 : (int)pipeline->len;
	rows_pipeline(&run->parked, pipeline, &sql_match_park, NULL);
}

/* In which builds were parked. (A place that was claimed and handed back was never seen as taken by others; who was
 * parked because of it is among these.) */
static void note_vacancies(struct match_run *run)
{
	struct vacancies *vacancies = &run->service->vacancies;
	for (size_t i = 0; run->parked.len > 0 && i < run->candidates_len; i++) {
		if (run->candidates[i].full)
			vacancies_add(vacancies, run->candidates[i].project_id);
	}
}

static void send_all(struct match_run *run)
{
	CLEANUP(buffer_release_p) struct buffer body;
	buffer_init(&body, ASSIGNMENT_MAX_BYTES);
	const PGresult *rows = run->assignments;
	for (int row = 0; row < PQntuples(rows); row++) {
		const struct build *build = build_set_find(&run->set, pg_text(rows, row, "id"));
		if (build == NULL || !build->attempt.is_new)
			continue;
		struct assignment assignment = {.mode = build->attempt.mode, .assigned_at = run->set.trail.time};
		assignment_take_row(&assignment, rows, row);
		build_assignee(build, &assignment.token, &assignment.to);
		assignment_send(run->service, &assignment, &body);
		metric_observe_us(&histogram_dispatch, pg_int(rows, row, "queued_us", 0));
	}
	metric_add(&counter_assigned, (int64_t)run->assigned);
}

void match_run_committed(struct match_run *run)
{
	if (run->assignments != NULL)
		send_all(run);
	note_vacancies(run);
	forget(run);
	build_set_publish(&run->set, run->service->relay);
}

void match_run_failed(struct match_run *run, const struct error *err)
{
	forget(run);
	/* It may have been committed; and others have passed over the rows that it had locked. */
	vacancies_add_all(&run->service->vacancies);
	for (size_t i = 0; err->kind == ERR_UNKNOWN && run->assigned > 0 && i < run->set.ids_len; i++) {
		const struct build *build = &run->set.builds[i];
		if (build->attempt.is_new)
			assignment_mind(run->service, build);
	}
	run->assigned = 0;
}

bool match_run_is_complete(const struct match_run *run)
{
	return run->assigned > 0 && run->assigned == run->found.assigned && run->found.full == 0 &&
		   run->candidates_len < MATCH_MAX;
}

bool match_run_has_unparked(const struct match_run *run)
{
	return run->locked && run->unpark >= 0 && run->unparked < UNPARK_MAX;
}

/* --- a transaction of its own --- */

/* *ret_parked: some were, so that others stand before now. */
static int write_and_commit(struct match_run *run, bool *ret_parked, struct error *err)
{
	struct pg_pipeline pipeline;
	PGresult *results[PG_PIPELINE_MAX];
	int parked;
	pg_pipeline_init(&pipeline, run->conn);
	match_run_pipeline_store(run, &pipeline, &parked);
	pg_pipeline_commit_tx(&pipeline);
	int rc = pg_pipeline_run(&pipeline, results, err);
	*ret_parked = rc == 0 && parked >= 0 && strcmp(PQcmdTuples(results[parked]), "0") != 0;
	pg_results_clear(results);
	return rc;
}

static int look(struct match_run *run, struct error *err)
{
	struct pg_pipeline pipeline;
	PGresult *results[PG_PIPELINE_MAX];
	pg_pipeline_init(&pipeline, run->conn);
	match_run_plan(run, NULL, &pipeline);
	int rc = pg_pipeline_run(&pipeline, results, err);
	if (rc == 0)
		rc = match_run_take(run, results, err);
	pg_results_clear(results);
	return rc;
}

static int match_in_transaction(struct match_run *run, bool *ret_again, struct error *err)
{
	bool parked = false;
	if (pg_begin(run->conn, err) < 0 || look(run, err) < 0)
		return -1;
	bool writes = run->found.assigned > 0 || run->found.full > 0;
	int rc = writes ? write_and_commit(run, &parked, err) : pg_commit(run->conn, err);
	*ret_again = parked || (run->found.assigned > 0 && run->candidates_len >= MATCH_MAX);
	*ret_again |= run->cut && run->assigned > 0;
	/* But not for ever because of a build that cannot be given to anybody: those behind it would be parked and come back
	 * without end. */
	bool in_vain = run->found.assigned > 0 && run->assigned == 0;
	*ret_again &= !(in_vain && run->in_vain);
	run->in_vain = in_vain;
	return rc;
}

int match_run_once(struct match_run *run, bool *ret_again, struct error *err)
{
	int64_t began_us = clock_boot_us();
	bool waits = false, more = false;
	*ret_again = false;
	if (anybody_waits(run, &waits, &more, err) < 0)
		return -1;
	if (!waits)
		return 0;
	int rc = match_in_transaction(run, ret_again, err);
	*ret_again |= more;
	if (rc < 0) {
		match_run_failed(run, err);
		pg_rollback(run->conn);
	} else {
		match_run_committed(run);
	}
	metric_observe_us(&histogram_match, clock_boot_us() - began_us);
	return rc;
}
