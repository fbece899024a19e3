/* GET /builds/{taskId} and GET /projects/{id}/builds. */
#include "api-gateway/handlers/common.h"

#include "api-gateway/build_lookup.h"
#include "api-gateway/build_wait.h"
#include "api-gateway/ended_builds.h"
#include "api-gateway/handlers.h"
#include "api-gateway/recent_builds.h"
#include "api-gateway/representation.h"
#include "common/base/clock.h"
#include "kiln_gateway_sql.h"

static void write_ref(struct json_writer *w, const char *id, const char *name)
{
	json_object_begin(w, "project");
	json_string(w, "id", id);
	json_string(w, "name", name);
	json_object_end(w);
}

/* The members that a build has in a list too. */
static void write_row(struct json_writer *w, const PGresult *rows, int row)
{
	json_string(w, "task_id", pg_text(rows, row, "id"));
	write_ref(w, pg_text(rows, row, "project_id"), pg_text(rows, row, "project_name"));
	json_string(w, "status", pg_text(rows, row, "status"));
	json_string(w, "phase", pg_text(rows, row, "phase"));
	json_int(w, "attempt", pg_int(rows, row, "attempt", 0));
	json_int(w, "attempts_used", pg_int(rows, row, "attempts_used", 0));
	json_int(w, "max_attempts", pg_int(rows, row, "max_attempts", 1));
	json_string(w, "worker_id", pg_text(rows, row, "worker_id"));
	json_string(w, "created_at", pg_text(rows, row, "created_at"));
	json_string(w, "started_at", pg_text(rows, row, "started_at"));
	json_string(w, "finished_at", pg_text(rows, row, "finished_at"));
}

/* Accepted, not in Postgres yet. */
static void write_recent(struct json_writer *w, const cJSON *data)
{
	const cJSON *project = json_get(data, "project"), *spec = json_get(data, "spec");
	json_string(w, "task_id", json_get_string(data, "build_id"));
	write_ref(w, json_get_string(project, "id"), json_get_string(project, "name"));
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
	char etag[ETAG_SIZE];
	if (!buffer_ok(&answer->body))
		return;
	etag_of_bytes(answer->body.data, answer->body.len, etag);
	answer_field(answer, "etag", "%s", etag);
	ended_builds_keep(request->gateway->ended, request->build_id, project_name, etag, answer->body.data,
					  answer->body.len, read_ms);
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
	if (found.row != NULL) {
		write_row(&w, found.row, 0);
		json_string(&w, "retry_of", pg_text(found.row, 0, "retry_of"));
		json_raw(&w, "spec", pg_text(found.row, 0, "spec"));
		json_raw(&w, "result", pg_text(found.row, 0, "result"));
	} else {
		write_recent(&w, found.request);
	}
	json_object_end(&w);
	bool ended = build_found_ended(&found);
	if (ended)
		keep_ended(request, found.project_name, read_ms);
	return ended;
}

static void look_up(struct request *request)
{
	(void)build_answer(request); /* whether it has ended, the answer says */
	representation_finish(request);
}

static bool answer_kept(struct request *request)
{
	CLEANUP(ended_build_unref) struct ended_build *build = NULL;
	if (request->wait_s > 0 || !uuid_is_valid(request->param, strlen(request->param)))
		return false;
	build = ended_builds_find(request->gateway->ended, request->param, clock_boot_ms());
	if (build == NULL || !token_sees_project(request->token, build->project_name))
		return false;
	memcpy(request->build_id, request->param, sizeof(request->build_id));
	struct json_writer w;
	answer_json(&request->answer, 200, &w);
	(void)buffer_append(&request->answer.body, build->body, build->body_len); /* the sender looks at buffer_ok */
	answer_field(&request->answer, "etag", "%s", build->etag);
	return true;
}

bool build_get(struct request *request)
{
	if (answer_kept(request))
		return true;
	if (!build_wait_begin(request, NULL))
		workers_answer(request, look_up);
	return false;
}

static void write_list(struct request *request, const PGresult *rows)
{
	struct page page;
	page_begin(&page, request, PQntuples(rows));
	for (int row = 0; row < page.rows; row++) {
		json_object_begin(&page.w, NULL);
		write_row(&page.w, rows, row);
		json_raw(&page.w, "metadata", pg_text(rows, row, "metadata"));
		json_object_end(&page.w);
		recent_builds_mark_shown(request->gateway->recent, pg_text(rows, row, "id"));
	}
	if (page.more)
		(void)cursor_append_place(&page.next, CURSOR_BUILDS, pg_text(rows, page.rows - 1, "created_at"),
								  pg_text(rows, page.rows - 1, "id")); /* the page looks at buffer_ok */
	page_end(&page, request);
}

bool build_list(struct request *request)
{
	CLEANUP(db_give) struct db db = {0};
	CLEANUP(project_unref_p) struct project *project = NULL;
	struct cursor_place place;
	bool has_place;
	if (page_place(request, CURSOR_BUILDS, &place, &has_place) < 0 || db_take(request, &db) < 0 ||
		handler_project(request, &db, true, &project) < 0)
		return true;
	const char *status = request->query.status[0] != '\0' ? request->query.status : NULL;
	const char *params[] = {project->id, status, has_place ? place.created_at : NULL, has_place ? place.id : NULL,
							LOG_INT(request->query.limit + 1)};
	CLEANUP(pg_result_p) PGresult *rows = NULL;
	struct error err = ERROR_INIT;
	if (pg_query(db.conn, &sql_build_list, params, ARRAY_LEN(params), &rows, &err) < 0)
		(void)db_problem(request, &err);
	else
		write_list(request, rows);
	return true;
}
