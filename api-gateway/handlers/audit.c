/* GET /audit. */
#include "api-gateway/handlers.h"
#include "api-gateway/handlers/common.h"
#include "kiln_gateway_sql.h"

static void write_item(struct json_writer *w, const PGresult *rows, int row)
{
	json_object_begin(w, NULL);
	json_string(w, "id", pg_text(rows, row, "id"));
	json_string(w, "time", pg_text(rows, row, "time"));
	json_object_begin(w, "token");
	json_string(w, "id", pg_text(rows, row, "token_id"));
	json_string(w, "name", pg_text(rows, row, "token_name"));
	json_object_end(w);
	json_string(w, "method", pg_text(rows, row, "method"));
	json_string(w, "route", pg_text(rows, row, "route"));
	json_string(w, "outcome", pg_text(rows, row, "outcome"));
	json_object_begin(w, "resource");
	json_string(w, "type", pg_text(rows, row, "resource_type"));
	json_string(w, "id", pg_text(rows, row, "resource"));
	json_object_end(w);
	json_string(w, "request_id", pg_text(rows, row, "request_id"));
	json_string(w, "address", pg_text(rows, row, "address"));
	json_object_end(w);
}

static void write_page(struct request *request, const PGresult *rows, const char *tag)
{
	struct page page;
	page_begin(&page, request, PQntuples(rows));
	for (int row = 0; row < page.rows; row++)
		write_item(&page.w, rows, row);
	if (page.more) { /* the page looks at buffer_ok */
		int last = page.rows - 1;
		(void)cursor_append_place(&page.next, CURSOR_AUDIT, pg_text(rows, last, "time"), pg_text(rows, last, "id"));
		(void)cursor_append_tag(&page.next, tag);
	}
	page_end(&page, request);
}

/* The narrowest that the filter names; each takes one parameter more than the one before. */
static const struct pg_statement *choose(const struct filter *filter, size_t *ret_params)
{
	if (filter != NULL && filter->resource[0] != '\0') {
		*ret_params = 6;
		return &sql_audit_resource;
	}
	bool of_token = filter != NULL && filter->token[0] != '\0';
	*ret_params = of_token ? 5 : 4;
	return of_token ? &sql_audit_token : &sql_audit_list;
}

bool audit_list(struct request *request)
{
	CLEANUP(db_give) struct db db = {0};
	struct cursor_place place;
	bool has_place;
	char tag[CURSOR_TAG_SIZE];
	if (handler_all_projects(request) < 0 ||
		page_place_filtered(request, CURSOR_AUDIT, "", &place, &has_place, tag) < 0 || db_take(request, &db) < 0)
		return true;
	const struct filter *filter = request->query.filter;
	struct page_bounds bounds = page_bounds(request, &place, has_place);
	size_t params_len;
	const struct pg_statement *statement = choose(filter, &params_len);
	const char *params[] = {bounds.created_at,
							bounds.id,
							bounds.from,
							LOG_INT(request->query.limit + 1),
							filter != NULL ? filter_param(filter->token) : NULL,
							filter != NULL ? filter_param(filter->resource) : NULL};
	CLEANUP(pg_result_p) PGresult *rows = NULL;
	struct error err = ERROR_INIT;
	if (pg_query(db.conn, statement, params, params_len, &rows, &err) < 0)
		(void)db_problem(request, &err);
	else
		write_page(request, rows, tag);
	return true;
}
