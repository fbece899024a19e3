#include "api-gateway/builds/build_answer.h"

#include "api-gateway/builds/build_cache.h"
#include "api-gateway/builds/build_lookup.h"
#include "api-gateway/builds/build_row.h"
#include "api-gateway/builds/recent_builds.h"
#include "api-gateway/requests/representation.h"
#include "common/base/clock.h"

/* Accepted, not in Postgres yet. */
static void write_recent(struct json_writer *w, const cJSON *data)
{
	const cJSON *project = json_get(data, "project"), *spec = json_get(data, "spec");
	json_string(w, "task_id", json_get_string(data, "build_id"));
	build_row_write_project(w, json_get_string(project, "id"), json_get_string(project, "name"));
	json_string(w, "status", "pending");
	json_string(w, "phase", "queued");
	json_int(w, "attempt", 0);
	json_int(w, "attempts_used", 0);
	json_int(w, "max_attempts", json_get_int(spec, "max_attempts", 1));
	json_null(w, "worker_id");
	json_string(w, "created_at", json_get_string(data, "requested_at"));
	json_null(w, "started_at");
	json_null(w, "finished_at");
	json_string(w, "retry_of", json_get_string(data, "retry_of"));
	json_tree(w, "spec", spec);
	json_null(w, "result");
}

/* With the ETag that representation_finish would make. */
static void keep_ended(struct request *request, const char *project_name, int64_t read_ms)
{
	struct answer *answer = &request->answer;
	if (!buffer_ok(&answer->body))
		return;
	etag_of_bytes(answer->body.data, answer->body.len, answer->tag);
	build_cache_keep(request->gateway->build_cache, request->build_id, project_name, answer->tag, answer->body.data,
					 answer->body.len, read_ms);
}

static void write_row(struct json_writer *w, const PGresult *rows, int row)
{
	build_row_write(w, rows, row);
	json_string(w, "retry_of", pg_text(rows, row, "retry_of"));
	json_raw(w, "spec", pg_text(rows, row, "spec"));
	json_raw(w, "result", pg_text(rows, row, "result"));
}

bool build_answer(struct request *request)
{
	int64_t read_ms = clock_boot_ms();
	CLEANUP(db_give) struct db db = {0};
	CLEANUP(build_found_release) struct build_found found = {0};
	if (build_lookup_taking(request, &db, &found) < 0)
		return false;
	struct json_writer w;
	answer_json(&request->answer, 200, &w);
	json_object_begin(&w, NULL);
	if (found.row != NULL)
		write_row(&w, found.row, 0);
	else
		write_recent(&w, found.request);
	json_object_end(&w);
	bool ended = build_found_ended(&found);
	if (ended)
		keep_ended(request, found.project_name, read_ms);
	return ended;
}

void build_read(struct request *request)
{
	(void)build_answer(request); /* whether it has ended, the answer says */
	representation_finish(request, true);
}

bool build_read_from_row(struct request *request, const PGresult *rows, int row, int64_t read_ms)
{
	const char *project_name = pg_text(rows, row, "project_name");
	if (!api_token_sees_project(request->token, project_name))
		return false;
	bool ended = build_status_ended(pg_text(rows, row, "status"));
	recent_builds_mark_shown(request->gateway->recent, request->param);
	struct json_writer w;
	answer_json(&request->answer, 200, &w);
	json_object_begin(&w, NULL);
	write_row(&w, rows, row);
	json_object_end(&w);
	if (ended)
		keep_ended(request, project_name, read_ms);
	representation_finish(request, true);
	return true;
}
