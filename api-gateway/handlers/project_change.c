/* PATCH and DELETE /projects/{id}: under the row's lock, with the event in the same transaction. */
#include "api-gateway/builds/build_lookup.h"
#include "api-gateway/builds/build_request.h"
#include "api-gateway/callers/caches.h"
#include "api-gateway/http/etag.h"
#include "api-gateway/handlers.h"
#include "api-gateway/handlers/common.h"
#include "api-gateway/handlers/project_row.h"
#include "api-gateway/requests/representation.h"
#include "api-gateway/builds/spec.h"
#include "common/base/str.h"
#include "common/pg/outbox.h"
#include "kiln_gateway_sql.h"

/* 0 fine; -1 answered. */
static int check_version(struct request *request, const PGresult *rows)
{
	char etag[ETAG_SIZE];
	etag_of_project(pg_text(rows, 0, "id"), pg_int(rows, 0, "version", 0), etag);
	return representation_check_writer(request, etag);
}

/* Opens a transaction with the project locked. -1: answered; the caller rolls back. */
static int lock_project(struct request *request, struct db *db, PGresult **ret_rows)
{
	CLEANUP(project_unref_p) struct project *project = NULL;
	struct error err = ERROR_INIT;
	/* Not from memory: the name may be another project's since a moment ago. */
	if (handler_project_of_now(request, db, &project) < 0)
		return -1;
	if (pg_begin(db->conn, &err) < 0 ||
		pg_query(db->conn, &sql_project_lock, PG_PARAMS(project->id), 1, ret_rows, &err) < 0)
		return db_problem(request, &err);
	if (PQntuples(*ret_rows) == 0)
		return problem_answer(request, PROBLEM_NOT_FOUND, "There is no project \"%s\".", request->param);
	return 0;
}

/* The event, the row of the audit, the commit, and what follows from it. */
static int finish(struct request *request, struct db *db, const PGresult *rows, const char *type, const char *outcome)
{
	struct error err = ERROR_INIT;
	audit_note(request, outcome, "project", pg_text(rows, 0, "id"));
	if (project_row_announce(request, db->conn, rows, type, &err) < 0 || audit_commit(request, db->conn, &err) < 0)
		return db_problem(request, &err);
	CLEANUP(project_unref_p) struct project *project = project_from_row(rows, 0);
	caches_put_project(request->gateway->caches, project);
	struct error notify = ERROR_INIT;
	if (outbox_notify(db->conn, &notify) < 0) /* the relay looks once a second anyway */
		log_debug("outbox not notified", "error", notify.message, NULL);
	return 0;
}

/* The project as a document that a merge patch applies to: what a client may set. */
static cJSON *patchable(const PGresult *rows)
{
	static const char *const texts[] = {"git_url", "branch", "credential"};
	static const char *const documents[] = {"concurrency", "agent", "network"};
	cJSON *document = NULL;
	struct error err = ERROR_INIT;
	const char *settings = pg_text(rows, 0, "settings");
	if (json_parse(settings, strlen(settings), &document, &err) < 0)
		document = cJSON_CreateObject(); /* reported where projects are shown */
	for (size_t i = 0; i < ARRAY_LEN(texts); i++) {
		const char *value = pg_text(rows, 0, texts[i]);
		cJSON_AddItemToObject(document, texts[i], value != NULL ? cJSON_CreateString(value) : cJSON_CreateNull());
	}
	for (size_t i = 0; i < ARRAY_LEN(documents); i++) {
		const char *value = pg_text(rows, 0, documents[i]);
		cJSON *tree = NULL;
		if (value == NULL || json_parse(value, strlen(value), &tree, &err) < 0)
			tree = cJSON_CreateNull();
		cJSON_AddItemToObject(document, documents[i], tree);
	}
	return document;
}

/* RFC 7396. Depth is bounded by the parser. */
static void merge(cJSON *target, const cJSON *patch)
{
	const cJSON *change;
	cJSON_ArrayForEach(change, patch)
	{
		cJSON *old = cJSON_GetObjectItemCaseSensitive(target, change->string);
		if (cJSON_IsNull(change)) {
			cJSON_DeleteItemFromObjectCaseSensitive(target, change->string);
		} else if (cJSON_IsObject(change)) {
			if (!cJSON_IsObject(old)) {
				cJSON_DeleteItemFromObjectCaseSensitive(target, change->string);
				old = cJSON_CreateObject();
				cJSON_AddItemToObject(target, change->string, old);
			}
			merge(old, change);
		} else {
			cJSON_DeleteItemFromObjectCaseSensitive(target, change->string);
			cJSON_AddItemToObject(target, change->string, cJSON_Duplicate(change, true));
		}
	}
}

static int check_merged(struct request *request, const cJSON *merged, bool changes_metadata)
{
	struct schema_problems problems = {0};
	const cJSON *agent = json_get(merged, "agent");
	project_check(request->gateway, merged, "", &problems);
	project_check_base(request->gateway, merged, "", &problems);
	if (cJSON_IsObject(agent) && json_get_string(agent, "provider") == NULL)
		schema_problem_add(&problems, "/agent/provider", "required", "an agent needs a provider");
	if (changes_metadata) /* its parts may fit, and the whole not; what was taken by older rules stays */
		spec_check_metadata(json_get(merged, "metadata"), &problems);
	if (problems.len == 0)
		return 0;
	(void)problem_answer_errors(request, PROBLEM_VALIDATION_FAILED, &problems);
	schema_problems_release(&problems);
	return -1;
}

static void answer_project(struct request *request, const PGresult *rows)
{
	struct json_writer w;
	char etag[ETAG_SIZE];
	answer_json(&request->answer, 200, &w);
	json_object_begin(&w, NULL);
	project_row_write(&w, request->gateway->config, rows, 0);
	json_object_end(&w);
	etag_of_project(pg_text(rows, 0, "id"), pg_int(rows, 0, "version", 0), etag);
	answer_field(&request->answer, "etag", "%s", etag);
}

/* A patch that changes nothing is no change: no version, no event, no row of the audit. */
static int update(struct request *request, struct db *db, const PGresult *old, const cJSON *patch)
{
	CLEANUP(cJSON_Delete_p) cJSON *merged = patchable(old);
	merge(merged, patch);
	if (check_merged(request, merged, json_get(patch, "metadata") != NULL) < 0)
		return -1;
	CLEANUP(project_values_release) struct project_values values;
	project_values_from(&values, merged);
	const char *params[] = {pg_text(old, 0, "id"), values.git_url,
							values.branch,         values.credential,
							values.concurrency,    buffer_or_null(&values.agent),
							values.settings.data,  buffer_or_null(&values.network)};
	CLEANUP(pg_result_p) PGresult *rows = NULL;
	struct error err = ERROR_INIT;
	if (pg_query(db->conn, &sql_project_update, params, ARRAY_LEN(params), &rows, &err) < 0)
		return db_problem(request, &err);
	bool changed = PQntuples(rows) > 0;
	if (changed && finish(request, db, rows, "project.changed", "changed") < 0)
		return -1;
	if (!changed)
		pg_rollback(db->conn); /* the lock */
	answer_project(request, changed ? rows : old);
	return 0;
}

/* Told beside what the schema says; what depends on the project's version is told when that is known. */
static void check_patch(struct request *request, const cJSON *patch, struct schema_problems *problems)
{
	project_check_places(request->gateway, patch, "", problems);
}

bool project_patch(struct request *request)
{
	CLEANUP(cJSON_Delete_p) cJSON *patch = NULL;
	CLEANUP(db_give) struct db db = {0};
	CLEANUP(pg_result_p) PGresult *rows = NULL;
	if (handler_body_with(request, request->gateway->bodies.project_patch, true, check_patch, &patch) < 0)
		return true;
	if (request->if_match.data == NULL) {
		(void)problem_answer(request, PROBLEM_PRECONDITION_REQUIRED, "Send the ETag of the last GET as If-Match.");
		return true;
	}
	if (db_take(request, &db) < 0)
		return true;
	if (lock_project(request, &db, &rows) < 0 || check_version(request, rows) < 0 ||
		update(request, &db, rows, patch) < 0)
		pg_rollback(db.conn);
	return true;
}

static int delete_locked(struct request *request, struct db *db, const PGresult *old)
{
	const char *id = pg_text(old, 0, "id");
	CLEANUP(pg_result_p) PGresult *active = NULL;
	CLEANUP(pg_result_p) PGresult *rows = NULL;
	struct error err = ERROR_INIT;
	if (check_version(request, old) < 0)
		return -1;
	if (pg_query(db->conn, &sql_project_active_build, PG_PARAMS(id), 1, &active, &err) < 0)
		return db_problem(request, &err);
	if (PQntuples(active) > 0)
		return problem_answer(request, PROBLEM_PROJECT_HAS_ACTIVE_BUILDS, "The build %s has not ended.",
							  pg_text(active, 0, "id"));
	if (pg_query(db->conn, &sql_project_delete, PG_PARAMS(id), 1, &rows, &err) < 0)
		return db_problem(request, &err);
	if (finish(request, db, rows, "project.deleted", "deleted") < 0)
		return -1;
	answer_empty(&request->answer, 204);
	return 0;
}

bool project_delete(struct request *request)
{
	CLEANUP(db_give) struct db db = {0};
	CLEANUP(pg_result_p) PGresult *rows = NULL;
	CLEANUP(project_unref_p) struct project *project = NULL;
	if (db_take(request, &db) < 0)
		return true;
	/* A build that was accepted before this request must count, also when its row is still to come. That costs records,
	 * which are not written for whoever names no project. */
	if (handler_project_of_now(request, &db, &project) < 0 || build_lookup_wait_applied(request, &db) < 0)
		return true;
	if (lock_project(request, &db, &rows) < 0 || delete_locked(request, &db, rows) < 0)
		pg_rollback(db.conn);
	return true;
}
