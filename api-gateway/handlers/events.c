/* GET /builds/{taskId}/events: the trail as stored; `data` are the bytes that were hashed. */
#include "api-gateway/builds/build_lookup.h"
#include "api-gateway/handlers.h"
#include "api-gateway/handlers/common.h"
#include "kiln_gateway_sql.h"

static void write_events(struct request *request, const PGresult *rows)
{
	struct page page;
	page_begin_measured(&page, request, rows, rows != NULL ? PQntuples(rows) : 0);
	for (int row = 0; row < page.rows; row++) {
		json_object_begin(&page.w, NULL);
		json_int(&page.w, "sequence", pg_int(rows, row, "sequence", 0));
		json_string(&page.w, "type", pg_text(rows, row, "type"));
		json_string(&page.w, "time", pg_text(rows, row, "time"));
		json_int(&page.w, "attempt", pg_int(rows, row, "attempt", 0));
		json_raw(&page.w, "data", pg_text(rows, row, "body"));
		json_string(&page.w, "hash", pg_text(rows, row, "hash"));
		json_object_end(&page.w);
	}
	if (page.more) /* the page looks at buffer_ok */
		(void)page_append_sequence(request, &page.next, CURSOR_EVENTS, pg_int(rows, page.rows - 1, "sequence", 0));
	page_end(&page, request);
}

bool build_events(struct request *request)
{
	if (request->offer == 1)
		return build_stream(request, STREAM_EVENTS, CURSOR_EVENTS);
	CLEANUP(db_give) struct db db = {0};
	CLEANUP(build_found_release) struct build_found found = {0};
	int64_t after;
	if (page_sequence(request, CURSOR_EVENTS, &after) < 0 || build_lookup_taking(request, &db, &found) < 0)
		return true;
	if (found.row == NULL) { /* accepted, nothing applied yet */
		write_events(request, NULL);
		return true;
	}
	const char *params[] = {request->param, LOG_INT(after), LOG_INT(request->query.limit + 1), PAGE_MAX_BYTES};
	CLEANUP(pg_result_p) PGresult *rows = NULL;
	struct error err = ERROR_INIT;
	if (pg_query(db.conn, &sql_build_events, params, ARRAY_LEN(params), &rows, &err) < 0)
		(void)db_problem(request, &err);
	else
		write_events(request, rows);
	return true;
}
