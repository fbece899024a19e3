#include "api-gateway/builds/explain_read.h"

#include <stdio.h>
#include <string.h>

#include "common/base/str.h"
#include "kiln_gateway_sql.h"
#include "kiln_matching_sql.h"

enum { BUILD, READY, SLOTS, CANDIDATES, WORKERS, HELD, LINE, DURATIONS };

/* All statements see the same: whatever is committed meanwhile. */
static const char one_snapshot[] = "SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY";

static int query(struct request *request, struct db *db, struct explain_snapshot *snapshot, struct error *err)
{
	char fresh_ms[24], max[24], past[24];
	(void)snprintf(fresh_ms, sizeof(fresh_ms), "%lld", (long long)request->gateway->config->worker_fresh_ms);
	(void)snprintf(max, sizeof(max), "%d", MATCH_MAX);
	(void)snprintf(past, sizeof(past), "%d", MATCH_LOOK_PAST_CROWD);
	if (pg_begin(db->conn, err) < 0 || pg_run(db->conn, one_snapshot, err) < 0)
		return -1;
	struct pg_pipeline pipeline;
	pg_pipeline_init(&pipeline, db->conn);
	pg_pipeline_add(&pipeline, &sql_explain_build, PG_PARAMS(request->param), 1);
	pg_pipeline_add(&pipeline, &sql_match_workers, PG_PARAMS(fresh_ms), 1);
	pg_pipeline_add(&pipeline, &sql_match_slots, NULL, 0);
	pg_pipeline_add(&pipeline, &sql_match_candidates, PG_PARAMS(fresh_ms, max, past), 3);
	pg_pipeline_add(&pipeline, &sql_explain_workers, PG_PARAMS(fresh_ms), 1);
	pg_pipeline_add(&pipeline, &sql_explain_held, NULL, 0);
	pg_pipeline_add(&pipeline, &sql_explain_line, PG_PARAMS(request->param), 1);
	pg_pipeline_add(&pipeline, &sql_explain_durations, PG_PARAMS(request->param), 1);
	return pg_pipeline_run(&pipeline, snapshot->results, err);
}

static void read_build(struct explain_snapshot *snapshot)
{
	const PGresult *row = snapshot->results[BUILD];
	struct explain_input *input = &snapshot->input;
	snapshot->waits = pg_bool(row, 0, "waits");
	snapshot->status = pg_text(row, 0, "status");
	snapshot->phase = pg_text(row, 0, "phase");
	snapshot->project_id = pg_text(row, 0, "project_id");
	snapshot->project_name = pg_text(row, 0, "project_name");
	snapshot->worker_id = pg_text(row, 0, "worker_id");
	snapshot->concurrency_used = pg_int(row, 0, "taken", 0);
	snapshot->queued_us = pg_int(row, 0, "queued_us", -1);
	snapshot->deadline_us = pg_int(row, 0, "deadline_us", -1);
	input->build_id = pg_text(row, 0, "id");
	input->project_id = snapshot->project_id;
	input->class_name = pg_text(row, 0, "class");
	input->limit = (int32_t)pg_int(row, 0, "concurrency", 0);
	input->project_gone = pg_bool(row, 0, "project_gone");
	input->delayed = pg_bool(row, 0, "delayed");
	input->parked = pg_bool(row, 0, "parked");
	input->now_us = pg_int(row, 0, "now_us", 0);
	input->not_before_us = pg_int(row, 0, "not_before_us", -1);
	input->project_ahead = pg_int(row, 0, "project_ahead", 0);
}

static enum explain_standing standing_of(const PGresult *rows, int row)
{
	const char *state = pg_text(rows, row, "state");
	if (str_equal(state, "draining"))
		return EXPLAIN_DRAINING;
	if (str_equal(state, "lost"))
		return EXPLAIN_LOST;
	if (pg_bool(rows, row, "silent"))
		return EXPLAIN_SILENT;
	return pg_bool(rows, row, "behind") ? EXPLAIN_BEHIND : EXPLAIN_FREE;
}

static void read_workers(struct explain_snapshot *snapshot)
{
	const PGresult *rows = snapshot->results[WORKERS];
	struct explain_input *input = &snapshot->input;
	snapshot->all = match_workers_read(rows, &snapshot->arena, &snapshot->all_len);
	input->all = snapshot->all;
	input->workers_len = snapshot->all_len;
	input->workers = arena_alloc(&snapshot->arena, (snapshot->all_len + 1) * sizeof(*input->workers));
	for (size_t i = 0; i < snapshot->all_len; i++) {
		struct explain_worker *worker = &input->workers[i];
		memcpy(worker->id, snapshot->all[i].address.worker_id, UUID_TEXT_SIZE);
		worker->hostname = pg_text(rows, (int)i, "hostname");
		worker->slots = (int32_t)pg_int(rows, (int)i, "slots", 0);
		worker->free = snapshot->all[i].free > 0 ? snapshot->all[i].free : 0;
		worker->standing = standing_of(rows, (int)i);
	}
}

static void read_rest(struct explain_snapshot *snapshot)
{
	struct explain_input *input = &snapshot->input;
	struct arena *arena = &snapshot->arena;
	input->ready = match_workers_read(snapshot->results[READY], arena, &input->ready_len);
	input->slots = match_slots_read(snapshot->results[SLOTS], arena, &input->slots_len);
	input->candidates = match_candidates_read(snapshot->results[CANDIDATES], arena, &input->candidates_len);
	const PGresult *held = snapshot->results[HELD], *line = snapshot->results[LINE];
	input->held_len = (size_t)PQntuples(held);
	struct explain_held *attempts = arena_alloc(arena, (input->held_len + 1) * sizeof(*attempts));
	for (int row = 0; row < PQntuples(held); row++)
		attempts[row] = (struct explain_held){.worker_id = pg_text(held, row, "worker_id"),
											  .project_id = pg_text(held, row, "project_id"),
											  .elapsed_ms = pg_int(held, row, "elapsed_ms", 0)};
	input->held = attempts;
	input->line_len = (size_t)PQntuples(line);
	struct explain_line *lines = arena_alloc(arena, (input->line_len + 1) * sizeof(*lines));
	for (int row = 0; row < PQntuples(line); row++)
		lines[row] = (struct explain_line){pg_text(line, row, "class"), pg_int(line, row, "ahead", 0)};
	input->line = lines;
	input->mean_ms = pg_int(snapshot->results[DURATIONS], 0, "mean_ms", -1);
	snapshot->durations = pg_int(snapshot->results[DURATIONS], 0, "count", 0);
}

int explain_read(struct request *request, struct db *db, struct explain_snapshot *ret)
{
	*ret = (struct explain_snapshot){.waits = false};
	arena_init(&ret->arena);
	struct error err = ERROR_INIT;
	int rc = query(request, db, ret, &err);
	pg_rollback(db->conn);
	if (rc < 0)
		return db_problem(request, &err);
	if (PQntuples(ret->results[BUILD]) == 0)
		return problem_answer(request, PROBLEM_NOT_FOUND, "There is no build \"%s\".", request->param);
	read_build(ret);
	if (!ret->waits)
		return 0;
	read_workers(ret);
	read_rest(ret);
	return 0;
}

void explain_release(struct explain_snapshot *snapshot)
{
	match_workers_release(snapshot->all, snapshot->all_len);
	match_workers_release(snapshot->input.ready, snapshot->input.ready_len);
	arena_release(&snapshot->arena);
	pg_results_clear(snapshot->results);
}
