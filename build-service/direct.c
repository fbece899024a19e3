#include "build-service/direct.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "build-service/assignment.h"
#include "build-service/counters.h"
#include "common/base/clock.h"
#include "kiln_build_service_sql.h"
#include "kiln_matching_sql.h"

/* Somebody waits, or no slot is free: that lasts for a while. */
#define PAUSE_MS 20
#define LEVEL_US (INT64_C(300) * 1000000) /* of priority: see enqueue.sql */
#define GUESS_MAX 8                       /* builds: for more of them a round trip is little */

/* The statements, from `first` on. */
enum { TRY_LOCK, WORKERS, WAITING };

void direct_init(struct direct *direct, struct service *service, const struct leases *leases)
{
	*direct = (struct direct){.service = service, .leases = leases, .first = -1};
	(void)snprintf(direct->fresh_ms, sizeof(direct->fresh_ms), "%lld",
				   (long long)service->config->worker_fresh_ms); /* fits */
	rows_init(&direct->guarded, 3);
	rows_init(&direct->expected, 4);
	last_look_init(&direct->last);
}

void direct_release(struct direct *direct)
{
	rows_release(&direct->guarded);
	rows_release(&direct->expected);
	last_look_release(&direct->last);
}

void direct_begin(struct direct *direct)
{
	direct->first = -1;
	direct->guessed = false;
	direct->assigned = NULL;
	direct->assigned_len = 0;
	rows_clear(&direct->guarded);
	rows_clear(&direct->expected);
}

void direct_plan(struct direct *direct, struct pg_pipeline *pipeline)
{
	if (clock_boot_ms() < direct->not_before_ms || atomic_load(&direct->service->epoch) < 0)
		return;
	direct->first = (int)pipeline->len;
	pg_pipeline_add(pipeline, &sql_match_try_lock, NULL, 0);
	pg_pipeline_add(pipeline, &sql_match_workers, PG_PARAMS(direct->fresh_ms), 1);
	pg_pipeline_add(pipeline, &sql_match_waiting, NULL, 0);
}

/* --- the match --- */

static bool somebody_waits(const PGresult *waiting, const struct match_worker *workers, size_t len)
{
	for (int row = 0; row < PQntuples(waiting); row++) {
		for (size_t i = 0; i < len; i++) {
			if (match_can_serve(&workers[i], pg_text(waiting, row, "class")))
				return true;
		}
	}
	return false;
}

/* A candidate with its build and its turn, which is enqueue.sql's. */
struct turn {
	struct build *build;
	int64_t key;
};

static int64_t turn_key(const struct build *build)
{
	int64_t created_us = 0;
	if (clock_parse_rfc3339(build->created_at, strlen(build->created_at), &created_us) < 0)
		return INT64_MAX; /* it was written by requests.c */
	return created_us - build->priority * LEVEL_US;
}

static int compare_turns(const void *a, const void *b)
{
	const struct turn *left = a, *right = b;
	if (left->key != right->key)
		return left->key < right->key ? -1 : 1;
	return strcmp(left->build->id, right->build->id);
}

static bool has_limit(const PGresult *projects, const char *id)
{
	int row = pg_find_row(projects, "id", id);
	return row < 0 /* such builds are refused */ || pg_text(projects, row, "concurrency") != NULL;
}

/* `projects` NULL: all are known to have no limit. What a build continues is looked up by the dispatcher. */
static bool has_turn(const struct build *build, const PGresult *projects)
{
	return build->is_new && build->queue.waiting && !build->continues &&
		   (projects == NULL || !has_limit(projects, build->project_id));
}

/* Builds of this batch that begin to wait and are the dispatcher's: lost ones, settling ones, those of projects with a
 * limit, and those that continue another. */
static bool others_wait(const struct build_set *set, const PGresult *projects, const struct match_worker *workers,
						size_t len)
{
	for (size_t i = 0; i < set->ids_len; i++) {
		const struct build *build = &set->builds[i];
		if (!build->queue_changed || !build->queue.waiting || has_turn(build, projects))
			continue;
		for (size_t w = 0; w < len; w++) {
			if (match_can_serve(&workers[w], build->queue.settling ? "*" : build->class_name))
				return true;
		}
	}
	return false;
}

static struct turn *find_turns(struct build_set *set, const PGresult *projects, size_t *ret_len)
{
	struct turn *turns = arena_alloc(&set->arena, (set->ids_len + 1) * sizeof(*turns));
	size_t len = 0;
	for (size_t i = 0; i < set->ids_len; i++) {
		struct build *build = &set->builds[i];
		if (has_turn(build, projects))
			turns[len++] = (struct turn){build, turn_key(build)};
	}
	qsort(turns, len, sizeof(*turns), compare_turns);
	*ret_len = len;
	return turns;
}

static void add_worker(struct rows *rows, const struct addressee *worker)
{
	rows_text(rows, worker->worker_id);
	rows_int(rows, worker->incarnation.counter);
	rows_text(rows, worker->incarnation.nonce);
}

static void assign(struct direct *direct, const struct transition_context *context, struct build *build,
				   const struct addressee *worker)
{
	enum applied applied = assignment_decide(direct->service, context, build, worker);
	CHECK(applied == APPLIED); /* it was made in this transaction, and waits */
	direct->assigned[direct->assigned_len++] = build;
}

static void run(struct direct *direct, bool news, struct match_worker *workers, size_t workers_len, struct turn *turns,
				size_t turns_len, const struct transition_context *context, struct build_set *set)
{
	struct match_candidate *candidates = arena_alloc(&set->arena, (turns_len + 1) * sizeof(*candidates));
	int32_t *free_before = arena_alloc(&set->arena, (workers_len + 1) * sizeof(*free_before));
	direct->assigned = arena_alloc(&set->arena, (turns_len + 1) * sizeof(struct build *));
	for (size_t i = 0; i < workers_len; i++)
		free_before[i] = workers[i].free;
	for (size_t i = 0; i < turns_len; i++) {
		memcpy(candidates[i].build_id, turns[i].build->id, UUID_TEXT_SIZE);
		memcpy(candidates[i].project_id, turns[i].build->project_id, UUID_TEXT_SIZE);
		candidates[i].class_name = turns[i].build->class_name;
	}
	(void)match(workers, workers_len, candidates, turns_len, NULL, 0); /* the candidates tell it all */
	for (size_t i = 0; i < turns_len; i++) {
		if (candidates[i].worker != NULL)
			assign(direct, context, turns[i].build, &candidates[i].worker->address);
	}
	for (size_t i = 0; i < workers_len; i++) {
		const struct addressee *worker = &workers[i].address;
		if (workers[i].free == free_before[i])
			continue;
		if (news || !leases_minds(direct->leases, worker->worker_id))
			add_worker(&direct->guarded, worker);
		add_worker(&direct->expected, worker);
		rows_int(&direct->expected, free_before[i] - workers[i].free);
	}
}

void direct_assign(struct direct *direct, PGresult *const *results, const PGresult *projects, bool news,
				   const struct transition_context *context, struct build_set *set)
{
	if (direct->first < 0 || projects == NULL)
		return;
	last_look_take_projects(&direct->last, projects);
	if (!pg_bool(results[direct->first + TRY_LOCK], 0, "locked"))
		return; /* a match is under way, which is a matter of a millisecond or two */
	size_t turns_len;
	struct turn *turns = find_turns(set, projects, &turns_len);
	if (turns_len == 0)
		return;
	size_t workers_len = 0;
	struct match_worker *workers = match_workers_read(results[direct->first + WORKERS], &set->arena, &workers_len);
	if (workers_len > 0 && !somebody_waits(results[direct->first + WAITING], workers, workers_len) &&
		!others_wait(set, projects, workers, workers_len))
		run(direct, news, workers, workers_len, turns, turns_len, context, set);
	if (PQntuples(results[direct->first + WAITING]) == 0)
		last_look_take_workers(&direct->last, results[direct->first + WORKERS], workers);
	match_workers_release(workers, workers_len);
	if (direct->assigned_len < turns_len)
		direct->not_before_ms = clock_boot_ms() + PAUSE_MS;
}

void direct_pipeline_guard(struct direct *direct, struct pg_pipeline *pipeline)
{
	rows_pipeline(&direct->guarded, pipeline, &sql_match_guard_workers, NULL);
}

/* --- by the last look --- */

bool direct_has_room(const struct direct *direct, size_t len)
{
	if (len == 0 || len > GUESS_MAX || clock_boot_ms() < direct->not_before_ms ||
		atomic_load(&direct->service->epoch) < 0)
		return false;
	int64_t room = 0;
	for (size_t i = 0; i < direct->last.workers_len; i++)
		room += direct->last.workers[i].free;
	return room >= (int64_t)len;
}

bool direct_may_guess(const struct direct *direct, const char *const *projects, size_t len)
{
	for (size_t i = 0; i < len; i++) {
		if (!last_look_knows_project(&direct->last, projects[i]))
			return false;
	}
	return direct_has_room(direct, len);
}

void direct_guess(struct direct *direct, const struct transition_context *context, struct build_set *set)
{
	size_t turns_len;
	struct turn *turns = find_turns(set, NULL, &turns_len);
	direct->guessed = true;
	run(direct, false, direct->last.workers, direct->last.workers_len, turns, turns_len, context, set);
}

void direct_pipeline_expect(struct direct *direct, struct pg_pipeline *pipeline, struct build_set *set,
							struct rows *projects)
{
	enum { BUILDS, PROJECTS, WORKERS_FIRST, WORKER_COLUMNS = 4, FRESH_MS = WORKERS_FIRST + WORKER_COLUMNS, PARAMS };
	const char *params[PARAMS] = {[FRESH_MS] = direct->fresh_ms};
	pg_pipeline_add(pipeline, &sql_optimistic_lock, NULL, 0);
	pg_pipeline_add(pipeline, &sql_optimistic_expect, params, PARAMS);
	rows_params(&set->id_rows, pipeline, BUILDS);
	rows_params(projects, pipeline, PROJECTS);
	rows_params(&direct->expected, pipeline, WORKERS_FIRST);
}

int direct_look(struct direct *direct, struct pg_conn *conn, struct error *err)
{
	if (!direct->look_due)
		return 0;
	direct->look_due = false;
	CLEANUP(pg_result_p) PGresult *workers = NULL;
	if (pg_query(conn, &sql_match_workers, PG_PARAMS(direct->fresh_ms), 1, &workers, err) < 0)
		return -1;
	last_look_take_workers(&direct->last, workers, NULL);
	return 0;
}

/* --- afterwards --- */

void direct_committed(struct direct *direct, const struct build_set *set)
{
	direct->look_due = direct->look_due || direct->guessed; /* a batch without a guess may follow before the look */
	if (direct->assigned_len == 0)
		return;
	CLEANUP(buffer_release_p) struct buffer body;
	buffer_init(&body, ASSIGNMENT_MAX_BYTES);
	int64_t queued_us = 0;
	(void)clock_parse_rfc3339(set->trail.time, strlen(set->trail.time), &queued_us); /* was written by us */
	for (size_t i = 0; i < direct->assigned_len; i++) {
		const struct build *build = direct->assigned[i];
		struct assignment assignment = {
			.mode = build->attempt.mode,
			.assigned_at = set->trail.time,
			.project_id = build->project_id,
			.project_name = build->project_name,
			.spec = build->spec,
			.git = build->git,
			.earlier = "[]",
			.traceparent = build->traceparent,
		};
		build_assignee(build, &assignment.token, &assignment.to);
		assignment_send(direct->service, &assignment, &body);
		metric_observe_us(&histogram_dispatch, clock_wall_us() - queued_us);
	}
	metric_add(&counter_assigned, (int64_t)direct->assigned_len);
}

void direct_failed(struct direct *direct, const struct error *err)
{
	last_look_forget(&direct->last);
	metric_add(&counter_optimistic_misses, direct->guessed);
	if (direct->assigned_len == 0)
		return;
	if (!direct->guessed) /* what failed was no guess: the next try goes without */
		direct->not_before_ms = clock_boot_ms() + PAUSE_MS;
	for (size_t i = 0; err->kind == ERR_UNKNOWN && i < direct->assigned_len; i++)
		assignment_mind(direct->service, direct->assigned[i]);
}
