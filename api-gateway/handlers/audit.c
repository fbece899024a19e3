/* GET /audit. */
#include "api-gateway/handlers.h"
#include "api-gateway/handlers/common.h"
#include "kiln_gateway_sql.h"

static void write_item(UNUSED void *tag, struct page *page, const PGresult *rows, int row)
{
	struct json_writer *w = &page->w;
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

static void go_on_after(void *tag, struct page *page, const PGresult *rows, int row)
{
	/* The page looks at buffer_ok. */
	(void)cursor_append_place(&page->next, CURSOR_AUDIT, pg_text(rows, row, "time"), pg_text(rows, row, "id"));
	(void)cursor_append_tag(&page->next, tag);
}

static void write_page(struct request *request, const PGresult *rows, char *tag)
{
	struct page page;
	page_begin(&page, request, PQntuples(rows));
	for (int row = 0; row < page.rows; row++)
		write_item(tag, &page, rows, row);
	if (page.more)
		go_on_after(tag, &page, rows, page.rows - 1);
	page_end(&page, request);
}

/* 0; -1 with the error. */
static int answer_list(struct request *request, struct db *db, const struct page_bounds *bounds, char *tag,
					   struct error *err)
{
	const char *params[] = {bounds->created_at, bounds->id, bounds->from, LOG_INT(request->query.limit + 1)};
	CLEANUP(pg_result_p) PGresult *rows = NULL;
	if (pg_query(db->conn, &sql_audit_list, params, ARRAY_LEN(params), &rows, err) < 0)
		return -1;
	write_page(request, rows, tag);
	return 0;
}

static int answer_resource(struct request *request, struct db *db, const struct page_bounds *bounds, char *tag,
						   struct error *err)
{
	const struct filter *filter = request->query.filter;
	const char *params[] = {bounds->created_at,
							bounds->id,
							bounds->from,
							LOG_INT(request->query.limit + 1),
							filter_param(filter->token),
							filter_param(filter->resource)};
	CLEANUP(pg_result_p) PGresult *rows = NULL;
	if (pg_query(db->conn, &sql_audit_resource, params, ARRAY_LEN(params), &rows, err) < 0)
		return -1;
	write_page(request, rows, tag);
	return 0;
}

static int answer_token(struct request *request, struct db *db, const struct page_bounds *bounds, char *tag,
						struct error *err)
{
	static const struct page_walk walk = {write_item, go_on_after};
	const char *params[] = {bounds->created_at,
							bounds->id,
							bounds->from,
							LOG_INT(request->query.limit + 1),
							request->query.filter->token,
							LOG_INT(PAGE_WALK_MAX)};
	CLEANUP(pg_result_p) PGresult *rows = NULL;
	if (pg_query(db->conn, &sql_audit_token, params, ARRAY_LEN(params), &rows, err) < 0)
		return -1;
	page_walk(request, rows, &walk, tag);
	return 0;
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
	int (*answer)(struct request *, struct db *, const struct page_bounds *, char *, struct error *) = answer_list;
	if (filter != NULL && filter->resource[0] != '\0')
		answer = answer_resource;
	else if (filter != NULL && filter->token[0] != '\0')
		answer = answer_token;
	struct error err = ERROR_INIT;
	if (answer(request, &db, &bounds, tag, &err) < 0)
		(void)db_problem(request, &err);
	return true;
}
