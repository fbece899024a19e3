/* GET /queue: what waits for a slot, by project and class. */
#include "api-gateway/handlers.h"
#include "api-gateway/handlers/common.h"
#include "common/base/str.h"
#include "kiln_gateway_sql.h"

#define NAMES_MAX_BYTES ((size_t)256 * 1024)

static void write_line(struct json_writer *w, const PGresult *rows, int row)
{
	json_object_begin(w, NULL);
	json_object_begin(w, "project");
	json_string(w, "id", pg_text(rows, row, "project_id"));
	json_string(w, "name", pg_text(rows, row, "project_name"));
	json_object_end(w);
	json_bool(w, "settling", pg_bool(rows, row, "settling"));
	json_string(w, "agent", pg_text(rows, row, "agent"));
	json_raw(w, "labels", pg_text(rows, row, "labels"));
	json_int(w, "waiting", pg_int(rows, row, "waiting", 0));
	json_int(w, "parked", pg_int(rows, row, "parked", 0));
	json_int(w, "delayed", pg_int(rows, row, "delayed", 0));
	if (pg_text(rows, row, "concurrency") == NULL)
		json_null(w, "concurrency");
	else
		json_int(w, "concurrency", pg_int(rows, row, "concurrency", 0));
	json_int(w, "concurrency_used", pg_int(rows, row, "taken", 0));
	json_object_begin(w, "oldest");
	json_string(w, "task_id", pg_text(rows, row, "oldest"));
	json_string(w, "queued_at", pg_text(rows, row, "oldest_at"));
	json_object_end(w);
	json_object_end(w);
}

static void write_page(struct request *request, const PGresult *rows)
{
	struct page page;
	page_begin(&page, request, PQntuples(rows));
	for (int row = 0; row < page.rows; row++)
		write_line(&page.w, rows, row);
	if (page.more)
		(void)cursor_append_line(&page.next, CURSOR_QUEUE, pg_text(rows, page.rows - 1, "project_name"),
								 pg_text(rows, page.rows - 1, "class_key")); /* the page looks at buffer_ok */
	page_end(&page, request);
}

bool queue_get(struct request *request)
{
	CLEANUP(db_give) struct db db = {0};
	CLEANUP(buffer_release_p) struct buffer projects;
	buffer_init(&projects, NAMES_MAX_BYTES);
	struct cursor_line place;
	struct error err = ERROR_INIT;
	bool has_place = request->query.cursor[0] != '\0';
	if (has_place && cursor_read_line(request->query.cursor, CURSOR_QUEUE, &place, &err) < 0) {
		(void)problem_answer(request, PROBLEM_BAD_REQUEST, "%s.", err.message);
		return true;
	}
	if (db_take(request, &db) < 0)
		return true;
	bool some = json_names(&projects, request->token->projects);
	const char *params[] = {has_place ? place.name : NULL, has_place ? place.key : NULL, some ? projects.data : NULL,
							LOG_INT(request->query.limit + 1)};
	CLEANUP(pg_result_p) PGresult *rows = NULL;
	if (pg_query(db.conn, &sql_queue, params, ARRAY_LEN(params), &rows, &err) < 0)
		(void)db_problem(request, &err);
	else
		write_page(request, rows);
	return true;
}
