/* /tokens and /me. Nobody gives away more than he has: scopes, projects, priority, life. */
#include "api-gateway/callers/caches.h"
#include "api-gateway/handlers.h"
#include "api-gateway/handlers/common.h"
#include "api-gateway/callers/scopes.h"
#include "common/base/clock.h"
#include "common/base/str.h"
#include "kiln_gateway_sql.h"

#define TOKEN_BYTES 32
#define NAMES_MAX_BYTES ((size_t)256 * 1024)

static void write_names(struct json_writer *w, const char *key, char *const *names)
{
	if (names == NULL) {
		json_null(w, key);
		return;
	}
	json_array_begin(w, key);
	for (size_t i = 0; names[i] != NULL; i++)
		json_string(w, NULL, names[i]);
	json_array_end(w);
}

static void write_scopes(struct json_writer *w, uint64_t scopes)
{
	json_array_begin(w, "scopes");
	for (size_t i = 0; scope_name(i) != NULL; i++) {
		if ((scopes >> i & 1) != 0)
			json_string(w, NULL, scope_name(i));
	}
	json_array_end(w);
}

bool token_me(struct request *request)
{
	const struct api_token *token = request->token;
	char expires[CLOCK_RFC3339_SIZE];
	clock_format_rfc3339(token->expires_us, expires);
	struct json_writer w;
	answer_json(&request->answer, 200, &w);
	json_object_begin(&w, NULL);
	json_string(&w, "id", token->id);
	json_string(&w, "name", token->name);
	write_scopes(&w, token->scopes);
	write_names(&w, "projects", token->projects);
	json_int(&w, "max_priority", token->max_priority);
	json_string(&w, "expires_at", token->expires_us != INT64_MAX ? expires : NULL);
	json_object_end(&w);
	return true;
}

static void write_row(struct json_writer *w, const PGresult *rows, int row)
{
	json_string(w, "id", pg_text(rows, row, "id"));
	json_string(w, "name", pg_text(rows, row, "name"));
	json_raw(w, "scopes", pg_text(rows, row, "scopes"));
	json_raw(w, "projects", pg_text(rows, row, "projects"));
	json_int(w, "max_priority", pg_int(rows, row, "max_priority", 0));
	json_string(w, "expires_at", pg_text(rows, row, "expires_at"));
	json_string(w, "created_at", pg_text(rows, row, "created_at"));
}

/* What a new token gets, checked against the caller's. */
struct grant {
	struct buffer scopes, projects; /* JSON arrays; projects empty: all */
	int max_priority;
	char expires[CLOCK_RFC3339_SIZE]; /* "" never */
};

static void grant_init(struct grant *grant)
{
	*grant = (struct grant){0};
	buffer_init(&grant->scopes, NAMES_MAX_BYTES);
	buffer_init(&grant->projects, NAMES_MAX_BYTES);
}

static void grant_release(struct grant *grant)
{
	buffer_release(&grant->scopes);
	buffer_release(&grant->projects);
}

static int grant_scopes(struct request *request, const cJSON *body, struct grant *grant)
{
	const cJSON *scopes = json_get(body, "scopes"), *scope;
	cJSON_ArrayForEach(scope, scopes)
	{
		if (!scopes_cover(request->token->scopes, scope_from_name(scope->valuestring)))
			return problem_answer(request, PROBLEM_FORBIDDEN, "The token lacks the scope %s itself.",
								  scope->valuestring);
	}
	CHECK(json_canonical(&grant->scopes, scopes) == 0); /* 32 short names */
	return 0;
}

static int grant_projects(struct request *request, const cJSON *body, struct grant *grant)
{
	const cJSON *projects = json_get(body, "projects"), *name;
	if (!cJSON_IsArray(projects)) {
		(void)json_names(&grant->projects, request->token->projects); /* NULL: all, as the caller has */
		return 0;
	}
	cJSON_ArrayForEach(name, projects)
	{
		if (!api_token_sees_project(request->token, name->valuestring))
			return problem_answer(request, PROBLEM_FORBIDDEN, "The token is not for the project \"%s\" itself.",
								  name->valuestring);
	}
	CHECK(json_canonical(&grant->projects, projects) == 0); /* 1,000 names of 63 characters */
	return 0;
}

static int grant_limits(struct request *request, const cJSON *body, struct grant *grant)
{
	const struct api_token *caller = request->token;
	grant->max_priority = (int)json_get_int(body, "max_priority", caller->max_priority);
	if (grant->max_priority > caller->max_priority)
		return problem_answer(request, PROBLEM_FORBIDDEN, "The token's own highest priority is %d.",
							  caller->max_priority);
	const char *expires = json_get_string(body, "expires_at");
	int64_t expires_us = caller->expires_us;
	if (expires != NULL) {
		CHECK(clock_parse_rfc3339(expires, strlen(expires), &expires_us) == 0); /* check_create has seen to that */
		if (expires_us > caller->expires_us)
			return problem_answer(request, PROBLEM_FORBIDDEN, "The token itself expires before that.");
	}
	if (expires_us != INT64_MAX)
		clock_format_rfc3339(expires_us, grant->expires);
	return 0;
}

static void check_create(struct request *request, const cJSON *body, struct schema_problems *problems)
{
	(void)request;
	const char *expires = json_get_string(body, "expires_at");
	int64_t expires_us;
	if (expires == NULL)
		return;
	if (clock_parse_rfc3339(expires, strlen(expires), &expires_us) < 0)
		schema_problem_add(problems, "/expires_at", "format", "not a time that can be kept");
	else if (expires_us <= clock_wall_us())
		schema_problem_add(problems, "/expires_at", "in_the_past", "expires_at has passed already");
}

static void make_text(char ret[64], char ret_hash[2 * SHA256_SIZE + 1])
{
	uint8_t random[TOKEN_BYTES], hash[SHA256_SIZE];
	random_bytes(random, sizeof(random));
	CLEANUP(buffer_release_p) struct buffer text;
	buffer_init(&text, 64);
	CHECK(buffer_append_str(&text, "kiln_") == 0 && base64url_append(&text, random, sizeof(random)) == 0);
	memcpy(ret, text.data, text.len + 1); /* 5 and 43 characters */
	sha256(ret, text.len, hash);
	hex_encode(hash, sizeof(hash), ret_hash);
}

static void insert(struct request *request, struct db *db, const struct once *once, const cJSON *body,
				   const struct grant *grant)
{
	char id[UUID_TEXT_SIZE], text[64], hash[2 * SHA256_SIZE + 1];
	uuid_v7(id);
	make_text(text, hash);
	const char *params[] = {id,
							json_get_string(body, "name"),
							hash,
							grant->scopes.data,
							buffer_or_null(&grant->projects),
							LOG_INT(grant->max_priority),
							grant->expires[0] != '\0' ? grant->expires : NULL,
							request->token->id};
	CLEANUP(pg_result_p) PGresult *rows = NULL;
	struct error err = ERROR_INIT;
	if (pg_query(db->conn, &sql_token_insert, params, ARRAY_LEN(params), &rows, &err) < 0) {
		(void)db_problem(request, &err);
		return;
	}
	struct json_writer w;
	answer_json(&request->answer, 201, &w);
	json_object_begin(&w, NULL);
	write_row(&w, rows, 0);
	json_string(&w, "token", text);
	json_object_end(&w);
	answer_field(&request->answer, "cache-control", "no-store");
	explicit_bzero(text, sizeof(text));
	audit_note(request, "created", "token", id);
	if (once_end(request, db, once) < 0)
		return;
	CLEANUP(api_token_unref_p) struct api_token *token = api_token_from_row(rows, 0);
	if (token != NULL)
		caches_put_token(request->gateway->caches, token);
}

bool token_create(struct request *request)
{
	CLEANUP(cJSON_Delete_p) cJSON *body = NULL;
	CLEANUP(db_give) struct db db = {0};
	CLEANUP(grant_release) struct grant grant;
	grant_init(&grant);
	struct once once;
	if (handler_body_once(request, request->gateway->bodies.token_create, check_create, &db, &once, &body) < 0 ||
		grant_scopes(request, body, &grant) < 0 || grant_projects(request, body, &grant) < 0 ||
		grant_limits(request, body, &grant) < 0)
		return true;
	insert(request, &db, &once, body, &grant);
	return true;
}

/* The caller's scopes and projects as JSON; empty: any (an admin's scopes, a token for all projects). */
static void what_caller_has(const struct api_token *token, struct buffer *scopes, struct buffer *projects)
{
	buffer_init(scopes, NAMES_MAX_BYTES);
	buffer_init(projects, NAMES_MAX_BYTES);
	(void)json_names(projects, token->projects); /* false is all */
	if ((token->scopes & SCOPE_ADMIN) != 0)
		return;
	struct json_writer w;
	json_writer_init(&w, scopes);
	json_array_begin(&w, NULL);
	for (size_t i = 0; scope_name(i) != NULL; i++) {
		if ((token->scopes >> i & 1) != 0)
			json_string(&w, NULL, scope_name(i));
	}
	json_array_end(&w);
}

static void write_list(struct request *request, const PGresult *rows)
{
	struct page page;
	page_begin(&page, request, PQntuples(rows));
	for (int row = 0; row < page.rows; row++) {
		json_object_begin(&page.w, NULL);
		write_row(&page.w, rows, row);
		json_object_end(&page.w);
	}
	if (page.more)
		(void)cursor_append_place(&page.next, CURSOR_TOKENS, pg_text(rows, page.rows - 1, "created_at"),
								  pg_text(rows, page.rows - 1, "id")); /* the page looks at buffer_ok */
	page_end(&page, request);
}

bool token_list(struct request *request)
{
	CLEANUP(db_give) struct db db = {0};
	struct cursor_place place;
	bool has_place;
	if (page_place(request, CURSOR_TOKENS, &place, &has_place) < 0 || db_take(request, &db) < 0)
		return true;
	CLEANUP(buffer_release_p) struct buffer scopes;
	CLEANUP(buffer_release_p) struct buffer projects;
	what_caller_has(request->token, &scopes, &projects);
	const char *params[] = {has_place ? place.created_at : NULL, has_place ? place.id : NULL, buffer_or_null(&scopes),
							buffer_or_null(&projects), LOG_INT(request->query.limit + 1)};
	CLEANUP(pg_result_p) PGresult *rows = NULL;
	struct error err = ERROR_INIT;
	if (pg_query(db.conn, &sql_token_list, params, ARRAY_LEN(params), &rows, &err) < 0)
		(void)db_problem(request, &err);
	else
		write_list(request, rows);
	return true;
}

static void revoke_token(struct request *request, struct db *db)
{
	CLEANUP(buffer_release_p) struct buffer scopes;
	CLEANUP(buffer_release_p) struct buffer projects;
	what_caller_has(request->token, &scopes, &projects);
	CLEANUP(pg_result_p) PGresult *rows = NULL;
	struct error err = ERROR_INIT;
	uint8_t hash[SHA256_SIZE];
	if (pg_begin(db->conn, &err) < 0 ||
		pg_query(db->conn, &sql_token_revoke,
				 PG_PARAMS(request->param, buffer_or_null(&scopes), buffer_or_null(&projects)), 3, &rows, &err) < 0) {
		(void)db_problem(request, &err);
		return;
	}
	if (PQntuples(rows) == 0) {
		(void)problem_answer(request, PROBLEM_NOT_FOUND, "There is no token \"%s\".", request->param);
		return;
	}
	audit_note(request, "revoked", "token", request->param);
	if (audit_commit(request, db->conn, &err) < 0) {
		(void)db_problem(request, &err);
		return;
	}
	const char *hex = pg_text(rows, 0, "hash");
	if (hex_decode(hex, strlen(hex), hash, sizeof(hash)) == 0)
		caches_drop_token(request->gateway->caches, hash);
	answer_empty(&request->answer, 204);
}

bool token_delete(struct request *request)
{
	CLEANUP(db_give) struct db db = {0};
	if (!uuid_is_valid(request->param, strlen(request->param)))
		(void)problem_answer(request, PROBLEM_NOT_FOUND, "There is no token \"%s\".", request->param);
	else if (db_take(request, &db) == 0)
		revoke_token(request, &db);
	return true;
}
