/*
 * POST /project/create-and-build: one call that makes a project and its first build. The project is inserted as
 * provisional, with the build's id, before the request goes to Kafka; the request makes it permanent when it is
 * applied, and the build service removes one whose request never came (docs/contract.md, When something is away). An
 * existing project is used when every given field equals its own.
 */
#include "api-gateway/builds/accept.h"
#include "api-gateway/callers/caches.h"
#include "api-gateway/handlers.h"
#include "api-gateway/handlers/common.h"
#include "api-gateway/builds/keyed_post.h"
#include "api-gateway/handlers/project_row.h"
#include "common/base/str.h"
#include "common/model/project.h"
#include "kiln_gateway_sql.h"

#define INSERT_TRIES 3

/* What one call works with. */
struct work {
	struct request *request;
	struct db db;
	cJSON *body;
	const cJSON *project_body, *build_body;
	bool fine; /* the schema takes the body */
	struct schema_problems problems;
	PGresult *rows; /* the project's row */
	struct project *project;
	bool tells; /* the secret */
	struct project_secret secret;
	struct build_request build;
	struct buffer prompt; /* rendered */
};

static void work_release(struct work *work)
{
	explicit_bzero(&work->secret, sizeof(work->secret));
	buffer_release(&work->prompt);
	schema_problems_release(&work->problems);
	project_unref(work->project);
	PQclear(work->rows);
	cJSON_Delete(work->body);
	db_give(&work->db);
}

/* The template that the spec names. */
static int find_template(struct work *work)
{
	struct request *request = work->request;
	const char *reference = build_request_template(&work->build.spec);
	struct error err = ERROR_INIT;
	if (reference == NULL)
		return 0;
	request->template = caches_template(request->gateway->caches, reference);
	if (request->template == NULL &&
		caches_load_template(request->gateway->caches, work->db.conn, reference, &request->template, &err) < 0)
		return db_problem(request, &err);
	work->build.template = request->template;
	return 0;
}

/* The rules of the build that look at its project: the existing one, or what the body makes. */
static void check_build(struct work *work)
{
	static char some[] = ""; /* what is wrong with the project's own has been told */
	CLEANUP(project_values_release) struct project_values values = {0};
	if (work->fine)
		project_values_from(&values, work->project_body);
	const cJSON *agent = json_get(work->project_body, "agent");
	bool has_none = cJSON_IsObject(work->project_body) && (agent == NULL || cJSON_IsNull(agent));
	struct project stand_in = {.git_url = some, .agent = buffer_or_null(&values.agent)};
	if (stand_in.agent == NULL && !has_none)
		stand_in.agent = some;
	work->build.project = work->project != NULL ? work->project : &stand_in;
	build_request_check(&work->build, &work->problems);
	build_request_render(&work->build, &work->prompt, &work->problems);
	work->build.project = NULL;
}

/* Everything that can be wrong is found at once, and before the project is made. */
static int validate(struct work *work)
{
	struct request *request = work->request;
	if (cJSON_IsObject(work->project_body))
		project_check(request->gateway, work->project_body, "/project", &work->problems);
	if (cJSON_IsObject(work->project_body) && work->project == NULL)
		project_check_base(request->gateway, work->project_body, "/project", &work->problems);
	if (cJSON_IsObject(work->build_body))
		check_build(work);
	if (work->fine && work->problems.len == 0)
		return 0;
	return problem_answer_errors(request, PROBLEM_VALIDATION_FAILED, &work->problems);
}

/* JSON texts by value: Postgres writes jsonb with its own blanks and order. */
static bool same_json(const char *a, const char *b)
{
	if (a == NULL || b == NULL)
		return a == b;
	CLEANUP(cJSON_Delete_p) cJSON *left = NULL;
	CLEANUP(cJSON_Delete_p) cJSON *right = NULL;
	struct error err = ERROR_INIT;
	return json_parse(a, strlen(a), &left, &err) == 0 && json_parse(b, strlen(b), &right, &err) == 0 &&
		   cJSON_Compare(left, right, true);
}

static void complain(struct schema_problems *problems, const char *field)
{
	char pointer[64];
	(void)snprintf(pointer, sizeof(pointer), "/project/%s", field);
	schema_problem_add(problems, pointer, "differs", "the project has another %s", field);
}

static void compare_texts(const struct work *work, const struct project_values *values,
						  struct schema_problems *problems)
{
	const struct {
		const char *field, *given;
	} texts[] = {{"branch", values->branch}, {"credential", values->credential}, {"concurrency", values->concurrency}};
	for (size_t i = 0; i < ARRAY_LEN(texts); i++) {
		if (json_get(work->project_body, texts[i].field) != NULL &&
			!str_equal(texts[i].given, pg_text(work->rows, 0, texts[i].field)))
			complain(problems, texts[i].field);
	}
	const char *stored_url = pg_text(work->rows, 0, "git_url");
	CLEANUP(buffer_release_p) struct buffer url;
	buffer_init(&url, 4096);
	if (json_get(work->project_body, "git_url") == NULL || str_equal(values->git_url, stored_url))
		return;
	/* The URL that a project under the base comes to, written out. */
	if (!project_git_url(work->request->gateway->config->git_base_url, stored_url, values->name, &url) ||
		!str_equal(values->git_url, url.data))
		complain(problems, "git_url");
}

static void compare_settings(const struct work *work, const struct project_values *values,
							 struct schema_problems *problems)
{
	const char *stored = pg_text(work->rows, 0, "settings");
	CLEANUP(cJSON_Delete_p) cJSON *settings = NULL;
	struct error err = ERROR_INIT;
	if (json_parse(stored, strlen(stored), &settings, &err) < 0)
		return; /* logged where projects are shown */
	const cJSON *description = json_get(work->project_body, "description"),
				*metadata = json_get(work->project_body, "metadata");
	if (description != NULL && !str_equal(cJSON_GetStringValue(description), json_get_string(settings, "description")))
		complain(problems, "description");
	if (metadata != NULL && !cJSON_Compare(metadata, json_get(settings, "metadata"), true))
		complain(problems, "metadata");
	if (json_get(work->project_body, "agent") != NULL &&
		!same_json(buffer_or_null(&values->agent), pg_text(work->rows, 0, "agent")))
		complain(problems, "agent");
	if (json_get(work->project_body, "network") != NULL &&
		!same_json(buffer_or_null(&values->network), pg_text(work->rows, 0, "network")))
		complain(problems, "network");
}

static int compare(struct work *work)
{
	struct schema_problems problems = {0};
	CLEANUP(project_values_release) struct project_values values;
	project_values_from(&values, work->project_body);
	compare_texts(work, &values, &problems);
	compare_settings(work, &values, &problems);
	if (problems.len == 0)
		return 0;
	char detail[128];
	(void)snprintf(detail, sizeof(detail), "There is a project \"%.63s\" with other settings.", values.name);
	problem_write(&work->request->answer, PROBLEM_PROJECT_EXISTS, work->request->id,
				  &(struct problem_extras){.errors = &problems}, detail);
	schema_problems_release(&problems);
	return -1;
}

static void take_project(struct work *work, PGresult *rows)
{
	work->rows = rows;
	work->project = project_from_row(rows, 0);
}

/* Of a project that the token may not see nothing is found: what is said of the body would tell of it. */
static int find_project(struct work *work)
{
	struct error err = ERROR_INIT;
	const char *name = json_get_string(work->project_body, "name");
	PGresult *rows = NULL;
	if (name == NULL || !str_is_name(name, strlen(name)) || !api_token_sees_project(work->request->token, name))
		return 0; /* validate or check_token complains */
	if (pg_query(work->db.conn, &sql_project_by_name, PG_PARAMS(name), 1, &rows, &err) < 0)
		return db_problem(work->request, &err);
	if (PQntuples(rows) > 0)
		take_project(work, rows);
	else
		PQclear(rows);
	return 0;
}

static int make_id(struct work *work, const char *project_id)
{
	uint8_t random[8];
	random_bytes(random, sizeof(random));
	return accept_make_id(work->request, ACCEPT_ROUTE_CREATE, project_id, random, work->build.build_id);
}

static int make_project(struct work *work, bool *ret_taken)
{
	struct request *request = work->request;
	char id[UUID_TEXT_SIZE];
	uuid_v7(id);
	if (make_id(work, id) < 0)
		return -1;
	request_set_build(request, work->build.build_id); /* before the project's commit: lend.h */
	project_secret_make(&work->secret);
	CLEANUP(project_values_release) struct project_values values;
	project_values_from(&values, work->project_body);
	PGresult *rows = NULL;
	struct error err = ERROR_INIT;
	if (project_row_insert(request, work->db.conn, id, &values, &work->secret, work->build.build_id, &rows, ret_taken,
						   &err) < 0)
		return db_problem(request, &err);
	if (*ret_taken) {
		PQclear(rows);
		return 0;
	}
	take_project(work, rows);
	project_row_made(request, work->db.conn, rows);
	work->tells = true;
	work->build.provisional = true;
	return 0;
}

static void answer_accepted(struct work *work)
{
	struct request *request = work->request;
	struct json_writer w;
	answer_json(&request->answer, 202, &w);
	json_object_begin(&w, NULL);
	json_object_begin(&w, "project");
	project_row_write(&w, request->gateway->config, work->rows, 0);
	if (work->tells)
		json_string(&w, "webhook_secret", work->secret.shown);
	json_object_end(&w);
	accept_write_links(&w, &request->answer, work->build.build_id, "pending");
	json_object_end(&w);
}

/* The secret of a project that the same token made a moment ago: that call may have been answered 503, or not at all.
 * To another token nothing is told: the first may have been told it, and signatures that two can make prove nothing. */
static int find_secret(struct work *work)
{
	struct error err = ERROR_INIT;
	if (pg_text(work->rows, 0, "provisional_build") != NULL &&
		project_secret_read(work->db.conn, pg_text(work->rows, 0, "id"), work->request->token->id, &work->secret,
							&work->tells, &err) < 0)
		return db_problem(work->request, &err);
	return 0;
}

/* Whether the key stands for a build already: then it is answered, whatever has become of the project and would be said
 * of the body today. Also gives the build its id. -1: request->answer is made. */
static int check_key(struct work *work)
{
	struct request *request = work->request;
	enum key_verdict verdict;
	if (make_id(work, pg_text(work->rows, 0, "id")) < 0)
		return -1;
	request_set_build(request, work->build.build_id);
	if (request->idempotency_key.data == NULL)
		return 0;
	if (keyed_post_find(request, &work->db, work->build.build_id, work->build.request_hash, &verdict) < 0)
		return -1;
	if (verdict == KEY_OTHER)
		return keyed_post_problem(request, verdict);
	if (verdict != KEY_SAME)
		return 0;
	if (find_secret(work) == 0)
		answer_accepted(work);
	return -1;
}

static int use_project(struct work *work)
{
	if (check_key(work) < 0 || compare(work) < 0 || find_secret(work) < 0)
		return -1;
	/* Also when another request made it and was never applied: this one makes it permanent as well. */
	work->build.provisional = pg_text(work->rows, 0, "provisional_build") != NULL;
	return 0;
}

/* The existing project, or a new one; two calls at once agree on one. */
static int settle_project(struct work *work)
{
	for (int attempt = 0; attempt < INSERT_TRIES; attempt++) {
		bool taken = false;
		if (work->rows != NULL)
			return use_project(work);
		if (make_project(work, &taken) < 0)
			return -1;
		if (!taken)
			return 0;
		if (find_project(work) < 0)
			return -1;
	}
	return problem_answer(work->request, PROBLEM_OVERLOADED,
						  "Others make and delete a project of that name at this moment.");
}

static int start_build(struct work *work)
{
	CLEANUP(buffer_release_p) struct buffer value;
	buffer_init(&value, GATEWAY_WRITTEN_MAX);
	work->build.project = work->project;
	build_request_write(&work->build, &work->prompt, &value);
	if (accept_send(work->request, &work->db, &work->build, &value) < 0)
		return -1;
	answer_accepted(work);
	return 0;
}

static void hash_body(struct work *work)
{
	CLEANUP(buffer_release_p) struct buffer scratch;
	buffer_init(&scratch, GATEWAY_WRITTEN_MAX);
	build_request_hash(work->body, &scratch, work->build.request_hash);
}

static int check_token(struct work *work)
{
	const struct api_token *token = work->request->token;
	const char *name = json_get_string(work->project_body, "name");
	int priority;
	if (!api_token_sees_project(token, name))
		return problem_answer(work->request, PROBLEM_FORBIDDEN, "The token is not for a project \"%s\".", name);
	if (!build_request_priority(&work->build, &priority))
		return problem_answer(work->request, PROBLEM_FORBIDDEN, "The token's highest priority is %d.",
							  token->max_priority);
	return 0;
}

/* Before anything is said of the body: a repeated request is not judged anew. */
static int check_known_key(struct work *work)
{
	if (work->rows == NULL || work->request->idempotency_key.data == NULL)
		return 0;
	return check_key(work);
}

bool create_and_build(struct request *request)
{
	CLEANUP(work_release) struct work work = {.request = request};
	buffer_init(&work.prompt, GATEWAY_WRITTEN_MAX);
	if (request_read_json(request, false, &work.body) < 0 || db_take(request, &work.db) < 0)
		return true;
	work.project_body = json_get(work.body, "project");
	work.build_body = json_get(work.body, "build");
	work.build = (struct build_request){
		.gateway = request->gateway, .request = request, .token = request->token, .pointer = "/build"};
	spec_find(work.build_body, &work.build.spec);
	work.fine = schema_validate(request->gateway->bodies.create_and_build, work.body, &work.problems);
	if (work.fine && request->idempotency_key.data != NULL) /* else no build was ever made of it: accept.c */
		hash_body(&work);
	if (find_project(&work) < 0 || check_known_key(&work) < 0 || find_template(&work) < 0 || validate(&work) < 0 ||
		check_token(&work) < 0 || settle_project(&work) < 0)
		return true;
	(void)start_build(&work); /* the answer is made either way */
	return true;
}
