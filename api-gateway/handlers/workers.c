/* GET /workers, GET /workers/{id}, POST /workers/{id}/drain: the fleet as the build service knows it. */
#include "api-gateway/builds/accept.h"
#include "api-gateway/handlers.h"
#include "api-gateway/handlers/common.h"
#include "api-gateway/builds/wish.h"
#include "common/base/clock.h"
#include "common/base/str.h"
#include "common/kafka/topics.h"
#include "kiln_gateway_sql.h"

#define NAMES_MAX_BYTES ((size_t)256 * 1024)
/* Attempts shown of a worker: in a list, and alone (as many slots as it may have). */
#define SHOWN_IN_LIST "20"
#define SHOWN_ALONE "10000"

static void write_worker(struct json_writer *w, const PGresult *rows, int row, bool drain_requested)
{
	json_object_begin(w, NULL);
	json_string(w, "worker_id", pg_text(rows, row, "id"));
	json_string(w, "state", pg_text(rows, row, "state"));
	json_bool(w, "drain_requested", drain_requested);
	json_string(w, "hostname", pg_text(rows, row, "hostname"));
	json_string(w, "version", pg_text(rows, row, "version"));
	json_string(w, "sandbox", pg_text(rows, row, "sandbox"));
	json_raw(w, "agents", pg_text(rows, row, "agents"));
	json_raw(w, "labels", pg_text(rows, row, "labels"));
	json_int(w, "slots", pg_int(rows, row, "slots", 0));
	json_int(w, "slots_used", pg_int(rows, row, "slots_used", 0));
	json_raw(w, "attempts", pg_text(rows, row, "attempts"));
	json_int(w, "incarnation", pg_int(rows, row, "incarnation", 0));
	json_string(w, "hello_at", pg_text(rows, row, "hello_at"));
	json_string(w, "heartbeat_at", pg_text(rows, row, "heartbeat_at"));
	json_object_end(w);
}

/* The caller's projects only: whose builds a worker holds besides is not told. */
static int query(struct request *request, struct db *db, const char *id, const char *after, int64_t limit,
				 PGresult **ret_rows)
{
	CLEANUP(buffer_release_p) struct buffer projects;
	buffer_init(&projects, NAMES_MAX_BYTES);
	bool some = json_names(&projects, request->token->projects);
	const char *params[] = {id, after, some ? projects.data : NULL, id != NULL ? SHOWN_ALONE : SHOWN_IN_LIST,
							LOG_INT(limit)};
	struct error err = ERROR_INIT;
	if (pg_query(db->conn, &sql_workers, params, ARRAY_LEN(params), ret_rows, &err) < 0)
		return db_problem(request, &err);
	return 0;
}

/* The id that the cursor names; "" without one. */
static int place(struct request *request, char ret_after[64])
{
	struct error err = ERROR_INIT;
	ret_after[0] = '\0';
	if (request->query.cursor[0] == '\0')
		return 0;
	if (cursor_read_name(request->query.cursor, CURSOR_WORKERS, ret_after, &err) < 0)
		return problem_answer(request, PROBLEM_BAD_REQUEST, "%s.", err.message);
	if (!uuid_is_valid(ret_after, strlen(ret_after)))
		return problem_answer(request, PROBLEM_BAD_REQUEST, "cursor is not one that this list gave.");
	return 0;
}

bool worker_list(struct request *request)
{
	CLEANUP(db_give) struct db db = {0};
	CLEANUP(pg_result_p) PGresult *rows = NULL;
	char after[64];
	if (place(request, after) < 0 || db_take(request, &db) < 0 ||
		query(request, &db, NULL, after[0] != '\0' ? after : NULL, request->query.limit + 1, &rows) < 0)
		return true;
	struct page page;
	page_begin(&page, request, PQntuples(rows));
	for (int row = 0; row < page.rows; row++)
		write_worker(&page.w, rows, row, pg_bool(rows, row, "drain_requested"));
	if (page.more)
		(void)cursor_append_name(&page.next, CURSOR_WORKERS,
								 pg_text(rows, page.rows - 1, "id")); /* the page looks at buffer_ok */
	page_end(&page, request);
	return true;
}

/* The worker of the path, in a row; else 404. */
static int find(struct request *request, struct db *db, PGresult **ret_rows)
{
	CLEANUP(pg_result_p) PGresult *rows = NULL;
	if (uuid_is_valid(request->param, strlen(request->param)) && query(request, db, request->param, NULL, 1, &rows) < 0)
		return -1;
	if (rows == NULL || PQntuples(rows) == 0)
		return problem_answer(request, PROBLEM_NOT_FOUND, "There is no worker \"%s\".", request->param);
	*ret_rows = rows;
	rows = NULL;
	return 0;
}

bool worker_get(struct request *request)
{
	CLEANUP(db_give) struct db db = {0};
	CLEANUP(pg_result_p) PGresult *rows = NULL;
	if (db_take(request, &db) < 0 || find(request, &db, &rows) < 0)
		return true;
	struct json_writer w;
	answer_json(&request->answer, 200, &w);
	write_worker(&w, rows, 0, pg_bool(rows, 0, "drain_requested"));
	return true;
}

/* --- drain --- */

/* Of the incarnation that is known now: one that starts later is another matter. */
static int send_wish(struct request *request, const PGresult *rows, struct error *err)
{
	CLEANUP(buffer_release_p) struct buffer value;
	buffer_init(&value, 1024);
	char time[CLOCK_RFC3339_SIZE];
	clock_format_rfc3339(clock_wall_us(), time);
	struct json_writer w;
	json_writer_init(&w, &value);
	json_object_begin(&w, NULL);
	json_string(&w, "worker_id", request->param);
	json_object_begin(&w, "incarnation");
	json_int(&w, "counter", pg_int(rows, 0, "incarnation", 0));
	json_string(&w, "nonce", pg_text(rows, 0, "nonce"));
	json_object_end(&w);
	json_string(&w, "requested_by", request->token->id);
	json_string(&w, "requested_at", time);
	json_object_end(&w);
	CHECK(buffer_ok(&value));
	const struct wish wish = {TOPIC_WORKER_EVENTS, "worker.drain_requested", request->param, value.data, value.len};
	return wish_send(request, &wish, err);
}

static void drain(struct request *request, const PGresult *rows)
{
	struct error err = ERROR_INIT;
	const char *state = pg_text(rows, 0, "state");
	bool drains = str_equal(state, "draining") || pg_bool(rows, 0, "drain_requested");
	if (str_equal(state, "gone")) {
		(void)problem_answer(request, PROBLEM_WORKER_GONE, "The worker has said goodbye.");
		return;
	}
	if (!drains && send_wish(request, rows, &err) < 0) {
		(void)accept_problem(request, err.kind);
		return;
	}
	if (!drains)
		audit_note(request, "accepted", "worker", request->param);
	struct json_writer w;
	answer_json(&request->answer, 202, &w);
	write_worker(&w, rows, 0, !drains || pg_bool(rows, 0, "drain_requested"));
}

bool worker_drain(struct request *request)
{
	CLEANUP(db_give) struct db db = {0};
	CLEANUP(pg_result_p) PGresult *rows = NULL;
	struct once once;
	/* It runs builds of all projects. */
	if (handler_all_projects(request) < 0 || handler_no_body(request) < 0 ||
		once_begin(request, NULL, &db, &once) < 0 || find(request, &db, &rows) < 0)
		return true;
	drain(request, rows);
	bool sent = request->answer.status == 202;
	if (once_end(request, &db, &once) < 0 && sent)
		(void)problem_answer_unknown(request, "The wish was sent, but it could not be noted here.");
	return true;
}
