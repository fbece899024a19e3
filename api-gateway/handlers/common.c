#include "api-gateway/handlers/common.h"

#include "api-gateway/callers/caches.h"
#include "common/base/str.h"
#include "kiln_gateway_sql.h"

#define LINK_MAX_BYTES ((size_t)2 * (FILTER_QUERY_MAX + 256) + CURSOR_MAX)
#define NO_TIME "infinity"
#define FIRST_ID "00000000-0000-0000-0000-000000000000"

void page_begin_open(struct page *page, struct request *request)
{
	*page = (struct page){.rows = 0, .more = false};
	buffer_init(&page->next, CURSOR_MAX);
	answer_json(&request->answer, 200, &page->w);
	json_object_begin(&page->w, NULL);
	json_array_begin(&page->w, "items");
}

void page_begin(struct page *page, struct request *request, int found_rows)
{
	page_begin_open(page, request);
	page->more = found_rows > request->query.limit;
	page->rows = page->more ? (int)request->query.limit : found_rows;
}

void page_begin_measured(struct page *page, struct request *request, const PGresult *rows, int found_rows)
{
	page_begin(page, request, found_rows);
	page->more = page->rows > 0 && pg_bool(rows, page->rows - 1, "more");
}

/* "/path?filters&limit=…&", to which a cursor may be added. */
static void write_target(struct request *request, struct buffer *link)
{
	const char *pattern = request->route->pattern, *brace = strchr(pattern, '{');
	CHECK(buffer_append_char(link, '<') == 0);
	if (brace != NULL) /* what the path held, in characters that need no escape: ids and names */
		CHECK(buffer_appendf(link, "%.*s%s%s", (int)(brace - pattern), pattern, request->param,
							 strchr(brace, '}') + 1) == 0);
	else
		CHECK(buffer_append_str(link, pattern) == 0);
	CHECK(buffer_append_char(link, '?') == 0);
	filter_append_query(link, request->query.filter);
	if (request->query.limit_given)
		CHECK(buffer_appendf(link, "limit=%lld&", (long long)request->query.limit) == 0);
}

void page_link(struct request *request, const char *cursor)
{
	CLEANUP(buffer_release_p) struct buffer link;
	buffer_init(&link, LINK_MAX_BYTES);
	if (cursor != NULL) {
		write_target(request, &link);
		CHECK(buffer_appendf(&link, "cursor=%s>; rel=\"next\"", cursor) == 0);
	}
	/* Where a list by sequence began is in no cursor. */
	if (request->query.cursor[0] != '\0' && (request->route->query & QUERY_AFTER) == 0) {
		CHECK(buffer_append_str(&link, link.len > 0 ? ", " : "") == 0);
		write_target(request, &link);
		buffer_truncate(&link, link.len - 1); /* the ? or & that nothing follows */
		CHECK(buffer_append_str(&link, ">; rel=\"first\"") == 0);
	}
	if (link.len > 0)
		answer_field_text(&request->answer, "link", link.data, link.len);
}

void page_end(struct page *page, struct request *request)
{
	CHECK(buffer_ok(&page->next));
	bool has_next = page->next.len > 0;
	json_array_end(&page->w);
	json_string(&page->w, "next_cursor", has_next ? page->next.data : NULL);
	json_object_end(&page->w);
	page_link(request, has_next ? page->next.data : NULL);
	buffer_release(&page->next);
}

int page_place(struct request *request, enum cursor_kind kind, struct cursor_place *ret_place, bool *ret_has_place)
{
	struct error err = ERROR_INIT;
	*ret_has_place = request->query.cursor[0] != '\0';
	if (*ret_has_place && cursor_read_place(request->query.cursor, kind, ret_place, &err) < 0)
		return problem_answer(request, PROBLEM_BAD_REQUEST, "%s.", err.message);
	return 0;
}

int page_place_filtered(struct request *request, enum cursor_kind kind, const char *owner,
						struct cursor_place *ret_place, bool *ret_has_place, char ret_tag[CURSOR_TAG_SIZE])
{
	char cursor[CURSOR_MAX + 1];
	struct error err = ERROR_INIT;
	memcpy(cursor, request->query.cursor, sizeof(cursor)); /* page_link looks at the original */
	filter_tag(request->query.filter, owner, ret_tag);
	*ret_has_place = cursor[0] != '\0';
	if (*ret_has_place &&
		(cursor_take_tag(cursor, ret_tag, &err) < 0 || cursor_read_place(cursor, kind, ret_place, &err) < 0))
		return problem_answer(request, PROBLEM_BAD_REQUEST, "%s.", err.message);
	return 0;
}

struct page_bounds page_bounds(const struct request *request, const struct cursor_place *place, bool has_place)
{
	const struct filter *filter = request->query.filter;
	const char *before = filter != NULL ? filter_param(filter->created_before) : NULL,
			   *after = filter != NULL ? filter_param(filter->created_after) : NULL;
	struct page_bounds bounds = {
		.created_at = before != NULL ? before : NO_TIME, .id = FIRST_ID, .from = after != NULL ? after : "-" NO_TIME};
	if (has_place) { /* which is before it */
		bounds.created_at = place->created_at;
		bounds.id = place->id;
	}
	return bounds;
}

int page_sequence(struct request *request, enum cursor_kind kind, int64_t *ret_after)
{
	char cursor[CURSOR_MAX + 1], tag[CURSOR_TAG_SIZE];
	struct error err = ERROR_INIT;
	*ret_after = request->query.after > 0 ? request->query.after : 0;
	if (request->query.cursor[0] == '\0')
		return 0;
	memcpy(cursor, request->query.cursor, sizeof(cursor)); /* page_link looks at the original */
	cursor_tag(request->param, strlen(request->param), tag);
	if (cursor_take_tag(cursor, tag, &err) < 0 || cursor_read_sequence(cursor, kind, ret_after, &err) < 0)
		return problem_answer(request, PROBLEM_BAD_REQUEST, "%s.", err.message);
	return 0;
}

int page_append_sequence(const struct request *request, struct buffer *buf, enum cursor_kind kind, int64_t sequence)
{
	char tag[CURSOR_TAG_SIZE];
	cursor_tag(request->param, strlen(request->param), tag);
	return cursor_append_sequence(buf, kind, sequence) < 0 ? -1 : cursor_append_tag(buf, tag);
}

int handler_all_projects(struct request *request)
{
	if (request->token->projects != NULL)
		return problem_answer(request, PROBLEM_FORBIDDEN, "This route needs a token that is for all projects.");
	return 0;
}

static int project_missing(struct request *request)
{
	return problem_answer(request, PROBLEM_NOT_FOUND, "There is no project \"%s\".", request->param);
}

/* Takes the reference. */
static int seen_project(struct request *request, struct project *project, struct project **ret_project)
{
	if (project == NULL)
		return project_missing(request);
	if (!api_token_sees_project(request->token, project->name)) {
		project_unref(project);
		return project_missing(request);
	}
	*ret_project = project;
	return 0;
}

int handler_project(struct request *request, struct db *db, bool with_deleted, struct project **ret_project)
{
	struct project *project = caches_project(request->gateway->caches, request->param);
	struct error err = ERROR_INIT;
	if (project == NULL && caches_load_project(request->gateway->caches, db->conn, request->param, &project, &err) < 0)
		return db_problem(request, &err);
	if (project == NULL && with_deleted && uuid_is_valid(request->param, strlen(request->param))) {
		CLEANUP(pg_result_p) PGresult *rows = NULL;
		if (pg_query(db->conn, &sql_project_by_id, PG_PARAMS(request->param), 1, &rows, &err) < 0)
			return db_problem(request, &err);
		if (PQntuples(rows) > 0)
			project = project_from_row(rows, 0);
	}
	return seen_project(request, project, ret_project);
}

int handler_project_of_now(struct request *request, struct db *db, struct project **ret_project)
{
	struct project *project = NULL;
	struct error err = ERROR_INIT;
	if (caches_load_project(request->gateway->caches, db->conn, request->param, &project, &err) < 0)
		return db_problem(request, &err);
	return seen_project(request, project, ret_project);
}

static int answer_problems(struct request *request, struct schema_problems *problems)
{
	(void)problem_answer_errors(request, PROBLEM_VALIDATION_FAILED, problems);
	schema_problems_release(problems);
	return -1;
}

int handler_body_with(struct request *request, const struct schema *schema, bool merge_patch, body_check *check,
					  cJSON **ret_body)
{
	CLEANUP(cJSON_Delete_p) cJSON *body = NULL;
	if (request_read_json(request, merge_patch, &body) < 0)
		return -1;
	struct schema_problems problems = {0};
	bool fine = schema_validate(schema, body, &problems);
	if (check != NULL && cJSON_IsObject(body))
		check(request, body, &problems);
	if (!fine || problems.len > 0)
		return answer_problems(request, &problems);
	*ret_body = body;
	body = NULL;
	return 0;
}

int handler_body(struct request *request, const struct schema *schema, bool merge_patch, cJSON **ret_body)
{
	return handler_body_with(request, schema, merge_patch, NULL, ret_body);
}

int handler_no_body(struct request *request)
{
	CLEANUP(cJSON_Delete_p) cJSON *body = NULL;
	return request->body.len == 0 ? 0 : handler_body(request, request->gateway->bodies.nothing, false, &body);
}

int handler_body_once(struct request *request, const struct schema *schema, body_check *check, struct db *db,
					  struct once *ret_once, cJSON **ret_body)
{
	CLEANUP(cJSON_Delete_p) cJSON *body = NULL;
	if (request_read_json(request, false, &body) < 0)
		return -1;
	struct schema_problems problems = {0};
	bool fine = schema_validate(schema, body, &problems);
	if (cJSON_IsObject(body))
		check(request, body, &problems);
	bool valid = fine && problems.len == 0;
	bool asks = valid || (fine && request->idempotency_key.data != NULL);
	if (asks && once_begin(request, body, db, ret_once) < 0) {
		schema_problems_release(&problems);
		return -1;
	}
	if (!valid)
		return answer_problems(request, &problems);
	*ret_body = body;
	body = NULL;
	return 0;
}

bool json_names(struct buffer *buf, char *const *names)
{
	if (names == NULL)
		return false;
	struct json_writer w;
	json_writer_init(&w, buf);
	json_array_begin(&w, NULL);
	for (size_t i = 0; names[i] != NULL; i++)
		json_string(&w, NULL, names[i]);
	json_array_end(&w);
	CHECK(buffer_ok(buf)); /* 1,000 names of 63 characters at most */
	return true;
}
