/* /templates: a POST makes the next version; versions never change. */
#include "api-gateway/callers/caches.h"
#include "api-gateway/handlers.h"
#include "api-gateway/handlers/common.h"
#include "api-gateway/requests/once.h"
#include "common/base/str.h"
#include "kiln_gateway_sql.h"

#define INSERT_TRIES 5

static void write_members(struct json_writer *w, const PGresult *rows, int row, bool with_text)
{
	json_string(w, "name", pg_text(rows, row, "name"));
	json_int(w, "version", pg_int(rows, row, "version", 0));
	if (with_text)
		json_string(w, "text", pg_text(rows, row, "text"));
	json_raw(w, "defaults", pg_text(rows, row, "defaults"));
	json_string(w, "description", pg_text(rows, row, "description"));
	json_string(w, "created_at", pg_text(rows, row, "created_at"));
}

static void answer_template(struct request *request, int status, const PGresult *rows)
{
	struct json_writer w;
	answer_json(&request->answer, status, &w);
	json_object_begin(&w, NULL);
	write_members(&w, rows, 0, true);
	json_object_end(&w);
}

static int insert(struct request *request, struct db *db, const cJSON *body, PGresult **ret_rows, struct error *err)
{
	CLEANUP(buffer_release_p) struct buffer defaults;
	buffer_init(&defaults, ANSWER_MAX_BODY);
	const cJSON *given = json_get(body, "defaults");
	if (cJSON_IsObject(given))
		CHECK(json_canonical(&defaults, given) == 0);
	const char *params[] = {json_get_string(body, "name"), json_get_string(body, "text"),
							defaults.len > 0 ? defaults.data : "{}", json_get_string(body, "description"),
							request->token->id};
	return pg_query(db->conn, &sql_template_insert, params, ARRAY_LEN(params), ret_rows, err);
}

static void note_created(struct request *request, const PGresult *rows)
{
	char reference[80];
	(void)snprintf(reference, sizeof(reference), "%s@%s", pg_text(rows, 0, "name"), pg_text(rows, 0, "version"));
	audit_note(request, "created", "template", reference);
}

/* Two at once take the same number: the loser tries the next. */
static void create(struct request *request, struct db *db, const cJSON *body)
{
	CLEANUP(pg_result_p) PGresult *rows = NULL;
	struct once once;
	for (int attempt = 1; rows == NULL; attempt++) {
		struct error err = ERROR_INIT;
		if (once_begin(request, body, db, &once) < 0)
			return;
		if (insert(request, db, body, &rows, &err) == 0 || (err.kind == ERR_CONFLICT && attempt < INSERT_TRIES))
			continue;
		if (err.kind == ERR_CONFLICT)
			(void)problem_answer(request, PROBLEM_OVERLOADED, "Others make versions of that template at this moment.");
		else
			(void)db_problem(request, &err);
		return;
	}
	answer_template(request, 201, rows);
	answer_field(&request->answer, "location", "/templates/%s?version=%s", pg_text(rows, 0, "name"),
				 pg_text(rows, 0, "version"));
	note_created(request, rows);
	if (once_end(request, db, &once) < 0)
		return;
	CLEANUP(template_unref_p) struct template *template = template_from_row(rows, 0);
	if (template != NULL)
		caches_put_template(request->gateway->caches, template);
}

bool template_create(struct request *request)
{
	CLEANUP(cJSON_Delete_p) cJSON *body = NULL;
	CLEANUP(db_give) struct db db = {0};
	/* All projects use them. */
	if (handler_all_projects(request) == 0 &&
		handler_body(request, request->gateway->bodies.template_create, false, &body) == 0)
		create(request, &db, body);
	return true;
}

bool template_get(struct request *request)
{
	CLEANUP(db_give) struct db db = {0};
	CLEANUP(pg_result_p) PGresult *rows = NULL;
	struct error err = ERROR_INIT;
	const char *name = request->param;
	const char *version = request->query.version > 0 ? LOG_INT(request->query.version) : NULL;
	bool possible = str_is_name(name, strlen(name));
	if (possible && db_take(request, &db) < 0)
		return true;
	if (possible && pg_query(db.conn, &sql_template_get, PG_PARAMS(name, version), 2, &rows, &err) < 0)
		(void)db_problem(request, &err);
	else if (!possible || PQntuples(rows) == 0)
		(void)problem_answer(request, PROBLEM_NOT_FOUND, "There is no template \"%s\".", request->param);
	else
		answer_template(request, 200, rows);
	return true;
}

static void write_list(struct request *request, const PGresult *rows)
{
	struct page page;
	page_begin_measured(&page, request, rows, PQntuples(rows));
	for (int row = 0; row < page.rows; row++) {
		json_object_begin(&page.w, NULL);
		write_members(&page.w, rows, row, false);
		json_object_end(&page.w);
	}
	if (page.more) /* the page looks at buffer_ok */
		(void)cursor_append_name(&page.next, CURSOR_TEMPLATES, pg_text(rows, page.rows - 1, "name"));
	page_end(&page, request);
}

bool template_list(struct request *request)
{
	CLEANUP(db_give) struct db db = {0};
	CLEANUP(pg_result_p) PGresult *rows = NULL;
	struct error err = ERROR_INIT;
	char after[64] = "";
	bool has_after = request->query.cursor[0] != '\0';
	if (has_after && cursor_read_name(request->query.cursor, CURSOR_TEMPLATES, after, &err) < 0) {
		(void)problem_answer(request, PROBLEM_BAD_REQUEST, "%s.", err.message);
		return true;
	}
	if (db_take(request, &db) < 0)
		return true;
	const char *params[] = {has_after ? after : NULL, LOG_INT(request->query.limit + 1), PAGE_MAX_BYTES};
	if (pg_query(db.conn, &sql_template_list, params, ARRAY_LEN(params), &rows, &err) < 0)
		(void)db_problem(request, &err);
	else
		write_list(request, rows);
	return true;
}
