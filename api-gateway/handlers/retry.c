/*
 * POST /builds/{taskId}/retry: a new build of the same spec, as it was resolved then (docs/protocol.md section 8).
 * Where its git is, by which credential, and what its agent may reach, is the project's as it is now: a retry is what
 * one does after having put that right.
 */
#include "api-gateway/builds/accept.h"
#include "api-gateway/builds/build_lookup.h"
#include "api-gateway/handlers.h"
#include "api-gateway/handlers/common.h"
#include "api-gateway/builds/keyed_post.h"
#include "common/base/str.h"
#include "kiln_gateway_sql.h"

#define RECORD_MAX_BYTES ((size_t)16 * 1024 * 1024)

/* What one call works with. */
struct again {
	struct request *request;
	struct db db;
	struct build_found found; /* the build that is repeated; its id is request->param */
	cJSON *spec;
	struct project *project;
	struct build_request build;
};

static void again_release(struct again *again)
{
	project_unref(again->project);
	cJSON_Delete(again->spec);
	build_found_release(&again->found);
	db_give(&again->db);
}

static void answer_accepted(struct again *again)
{
	struct json_writer w;
	answer_json(&again->request->answer, 202, &w);
	json_object_begin(&w, NULL);
	accept_write_links(&w, &again->request->answer, again->build.build_id, "pending");
	json_string(&w, "retry_of", again->request->param);
	json_object_end(&w);
}

/* There is no body: what a key stands for is the build that is repeated, which its id is made of as well. */
static void hash_request(struct again *again)
{
	CLEANUP(cJSON_Delete_p) cJSON *body = cJSON_CreateObject();
	CLEANUP(buffer_release_p) struct buffer scratch;
	buffer_init(&scratch, 1024);
	CHECK(body != NULL && cJSON_AddStringToObject(body, "retry_of", again->request->param) != NULL);
	build_request_hash(body, &scratch, again->build.request_hash);
}

/* Before anything is said of the build as it is now, or of there being none any more: the key's may outlive it. -1:
 * answered. */
static int identify(struct again *again)
{
	struct request *request = again->request;
	struct build_request *build = &again->build;
	uint8_t random[8];
	enum key_verdict verdict;
	random_bytes(random, sizeof(random));
	if (accept_make_id(request, ACCEPT_ROUTE_RETRY, request->param, random, build->build_id) < 0)
		return -1;
	if (request->idempotency_key.data == NULL)
		return 0;
	hash_request(again);
	if (keyed_post_find(request, &again->db, build->build_id, build->request_hash, &verdict) < 0)
		return -1;
	if (verdict == KEY_OTHER)
		return keyed_post_problem(request, verdict);
	if (verdict != KEY_SAME)
		return 0;
	answer_accepted(again);
	return -1;
}

static int check_ended(struct again *again)
{
	const char *status = build_found_status(&again->found);
	if (!str_equal(status, "pending") && !str_equal(status, "running"))
		return 0;
	char detail[64];
	(void)snprintf(detail, sizeof(detail), "The build is %s.", str_equal(status, "running") ? "running" : "pending");
	problem_write(&again->request->answer, PROBLEM_BUILD_NOT_ENDED, again->request->id,
				  &(struct problem_extras){.build_status = status}, detail);
	return -1;
}

static int find_project(struct again *again)
{
	struct request *request = again->request;
	struct error err = ERROR_INIT;
	CLEANUP(pg_result_p) PGresult *rows = NULL;
	const char *id = pg_text(again->found.row, 0, "project_id");
	if (pg_query(again->db.conn, &sql_project_by_id, PG_PARAMS(id), 1, &rows, &err) < 0)
		return db_problem(request, &err);
	if (PQntuples(rows) > 0)
		again->project = project_from_row(rows, 0);
	if (again->project == NULL || again->project->deleted)
		return problem_answer(request, PROBLEM_NOT_RETRYABLE, "The build's project was deleted.");
	again->build.project = again->project;
	return 0;
}

static int read_spec(struct again *again)
{
	const char *text = pg_text(again->found.row, 0, "spec");
	struct error err = ERROR_INIT;
	if (text == NULL || json_parse(text, strlen(text), &again->spec, &err) < 0)
		return problem_answer(again->request, PROBLEM_NOT_RETRYABLE, "The build's request was not legible.");
	spec_find(again->spec, &again->build.spec);
	return 0;
}

/* The configuration, the project and the token may be others than those that the spec was accepted by. */
static int check(struct again *again)
{
	struct request *request = again->request;
	struct build_request *build = &again->build;
	struct schema_problems problems = {0};
	int priority;
	build->spec.at[SPEC_TEMPLATE] = NULL; /* rendered already, whatever has become of the template */
	build_request_check(build, &problems);
	spec_check_metadata(build->spec.at[SPEC_METADATA], &problems);
	if (problems.len > 0) {
		(void)problem_answer_errors(request, PROBLEM_VALIDATION_FAILED, &problems);
		schema_problems_release(&problems);
		return -1;
	}
	if (!build_request_priority(build, &priority))
		return problem_answer(request, PROBLEM_FORBIDDEN, "The token's highest priority is %d.",
							  request->token->max_priority);
	return 0;
}

static int start(struct again *again)
{
	CLEANUP(buffer_release_p) struct buffer value;
	buffer_init(&value, RECORD_MAX_BYTES);
	build_request_write_again(&again->build, again->spec, &value);
	if (!buffer_ok(&value))
		return accept_problem(again->request, ERR_INVALID);
	return accept_send(again->request, &again->db, &again->build, &value);
}

bool build_retry(struct request *request)
{
	CLEANUP(again_release) struct again again = {.request = request};
	again.build = (struct build_request){.gateway = request->gateway,
										 .request = request,
										 .token = request->token,
										 .pointer = "",
										 .retry_of = request->param};
	if (handler_no_body(request) < 0 || db_take(request, &again.db) < 0 || identify(&again) < 0 ||
		build_lookup(request, &again.db, &again.found) < 0 || check_ended(&again) < 0 || read_spec(&again) < 0 ||
		find_project(&again) < 0 || check(&again) < 0 || start(&again) < 0)
		return true;
	answer_accepted(&again);
	return true;
}
