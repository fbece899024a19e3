/* POST /projects, GET /projects, GET /projects/{id}. Changes are in project_change.c. */
#include "api-gateway/callers/caches.h"
#include "api-gateway/http/etag.h"
#include "api-gateway/handlers.h"
#include "api-gateway/handlers/common.h"
#include "api-gateway/handlers/project_row.h"
#include "common/base/str.h"
#include "kiln_gateway_sql.h"

static void add_etag(struct request *request, const PGresult *rows)
{
	char etag[ETAG_SIZE];
	etag_of_project(pg_text(rows, 0, "id"), pg_int(rows, 0, "version", 0), etag);
	answer_field(&request->answer, "etag", "%s", etag);
}

static void check_create(struct request *request, const cJSON *body, struct schema_problems *problems)
{
	project_check(request->gateway, body, "", problems);
	project_check_base(request->gateway, body, "", problems);
}

static void answer_created(struct request *request, const PGresult *rows, const struct project_secret *secret)
{
	struct json_writer w;
	answer_json(&request->answer, 201, &w);
	json_object_begin(&w, NULL);
	project_row_write(&w, request->gateway->config, rows, 0);
	json_string(&w, "webhook_secret", secret->shown);
	json_object_end(&w);
	answer_field(&request->answer, "location", "/projects/%s", pg_text(rows, 0, "id"));
	add_etag(request, rows);
}

static void insert(struct request *request, struct db *db, const struct once *once, const struct project_values *values,
				   const struct project_secret *secret)
{
	char id[UUID_TEXT_SIZE];
	uuid_v7(id);
	CLEANUP(pg_result_p) PGresult *rows = NULL;
	bool taken;
	struct error err = ERROR_INIT;
	if (project_row_insert(request, db->conn, id, values, secret, NULL, &rows, &taken, &err) < 0) {
		(void)db_problem(request, &err);
		return;
	}
	if (taken) {
		(void)problem_answer(request, PROBLEM_PROJECT_EXISTS, "There is a project \"%s\".", values->name);
		return;
	}
	answer_created(request, rows, secret);
	if (once_end(request, db, once) == 0)
		project_row_made(request, db->conn, rows);
}

static void create(struct request *request, struct db *db, const struct once *once, const cJSON *body)
{
	struct project_secret secret;
	project_secret_make(&secret);
	CLEANUP(project_values_release) struct project_values values;
	project_values_from(&values, body);
	insert(request, db, once, &values, &secret);
	explicit_bzero(&secret, sizeof(secret));
}

bool project_create(struct request *request)
{
	CLEANUP(cJSON_Delete_p) cJSON *body = NULL;
	CLEANUP(db_give) struct db db = {0};
	struct once once;
	if (handler_body_once(request, request->gateway->bodies.project_create, check_create, &db, &once, &body) < 0)
		return true;
	const char *name = json_get_string(body, "name");
	if (!api_token_sees_project(request->token, name)) {
		(void)problem_answer(request, PROBLEM_FORBIDDEN, "The token is not for a project \"%s\".", name);
		return true;
	}
	create(request, &db, &once, body);
	return true;
}

bool project_get(struct request *request)
{
	CLEANUP(db_give) struct db db = {0};
	CLEANUP(pg_result_p) PGresult *rows = NULL;
	struct error err = ERROR_INIT;
	if (db_take(request, &db) < 0)
		return true;
	bool by_id = uuid_is_valid(request->param, strlen(request->param));
	if (pg_query(db.conn, by_id ? &sql_project_by_id : &sql_project_by_name, PG_PARAMS(request->param), 1, &rows,
				 &err) < 0) {
		(void)db_problem(request, &err);
		return true;
	}
	if (PQntuples(rows) == 0 || pg_bool(rows, 0, "deleted") ||
		!api_token_sees_project(request->token, pg_text(rows, 0, "name"))) {
		(void)problem_answer(request, PROBLEM_NOT_FOUND, "There is no project \"%s\".", request->param);
		return true;
	}
	struct json_writer w;
	answer_json(&request->answer, 200, &w);
	json_object_begin(&w, NULL);
	project_row_write(&w, request->gateway->config, rows, 0);
	json_object_end(&w);
	add_etag(request, rows);
	return true;
}

static void write_list(struct request *request, const PGresult *rows)
{
	struct page page;
	page_begin_measured(&page, request, rows, PQntuples(rows));
	for (int row = 0; row < page.rows; row++) {
		json_object_begin(&page.w, NULL);
		project_row_write(&page.w, request->gateway->config, rows, row);
		json_object_end(&page.w);
	}
	if (page.more)
		(void)cursor_append_place(&page.next, CURSOR_PROJECTS, pg_text(rows, page.rows - 1, "created_at"),
								  pg_text(rows, page.rows - 1, "id")); /* the page looks at buffer_ok */
	page_end(&page, request);
}

bool project_list(struct request *request)
{
	CLEANUP(db_give) struct db db = {0};
	struct cursor_place place;
	bool has_place;
	if (page_place(request, CURSOR_PROJECTS, &place, &has_place) < 0 || db_take(request, &db) < 0)
		return true;
	CLEANUP(buffer_release_p) struct buffer names;
	buffer_init(&names, (size_t)256 * 1024);
	bool limited = json_names(&names, request->token->projects);
	const char *params[] = {has_place ? place.created_at : NULL, has_place ? place.id : NULL,
							limited ? names.data : NULL, LOG_INT(request->query.limit + 1), PAGE_MAX_BYTES};
	CLEANUP(pg_result_p) PGresult *rows = NULL;
	struct error err = ERROR_INIT;
	if (pg_query(db.conn, &sql_project_list, params, ARRAY_LEN(params), &rows, &err) < 0)
		(void)db_problem(request, &err);
	else
		write_list(request, rows);
	return true;
}
