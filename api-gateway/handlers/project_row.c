#include "api-gateway/handlers/project_row.h"

#include "api-gateway/builds/build_request.h"
#include "api-gateway/callers/caches.h"
#include "common/base/alloc.h"
#include "common/base/log.h"
#include "common/base/str.h"
#include "common/http/address_url.h"
#include "common/http/network_rules.h"
#include "common/pg/project_event.h"
#include "kiln_gateway_sql.h"

#define OUTBOX_MAX_BYTES ((size_t)4 * 1024 * 1024)
#define VALUES_MAX_BYTES (GATEWAY_WRITTEN_MAX + 1024) /* and names of fields */
#define POINTER_MAX 160

static cJSON *settings_of(const PGresult *rows, int row)
{
	const char *text = pg_text(rows, row, "settings");
	cJSON *settings = NULL;
	struct error err = ERROR_INIT;
	if (json_parse(text, strlen(text), &settings, &err) < 0)
		log_error("unreadable settings", "project_id", pg_text(rows, row, "id"), "error", err.message, NULL);
	return settings;
}

void project_row_write(struct json_writer *w, const struct gateway_config *config, const PGresult *rows, int row)
{
	CLEANUP(cJSON_Delete_p) cJSON *settings = settings_of(rows, row);
	const cJSON *metadata = json_get(settings, "metadata");
	project_identity_write(w, config->git_base_url, rows, row);
	json_string(w, "description", json_get_string(settings, "description"));
	if (cJSON_IsObject(metadata))
		json_tree(w, "metadata", metadata);
	else
		json_raw(w, "metadata", "{}");
	project_history_write(w, rows, row);
}

int project_row_announce(struct request *request, struct pg_conn *tx, const PGresult *rows, const char *type,
						 struct error *err)
{
	const struct project_teller teller = {GATEWAY_SOURCE, request->gateway->config->git_base_url, request->traceparent};
	struct outbox_rows outbox;
	outbox_rows_init(&outbox, OUTBOX_MAX_BYTES);
	project_event_add(&outbox, &teller, type, rows, 0);
	int result = outbox_rows_insert(&outbox, tx, err);
	outbox_rows_release(&outbox);
	return result;
}

void project_values_from(struct project_values *values, const cJSON *body)
{
	*values = (struct project_values){
		.name = json_get_string(body, "name"),
		.git_url = json_get_string(body, "git_url"),
		.branch = json_get_string(body, "branch"),
		.credential = json_get_string(body, "credential"),
	};
	int64_t concurrency = json_get_int(body, "concurrency", 0);
	if (concurrency > 0)
		values->concurrency = xasprintf("%lld", (long long)concurrency);
	buffer_init(&values->agent, VALUES_MAX_BYTES);
	buffer_init(&values->settings, VALUES_MAX_BYTES);
	struct json_writer w;
	const cJSON *agent = json_get(body, "agent"), *metadata = json_get(body, "metadata");
	const cJSON *allow = json_get(json_get(body, "network"), "allow");
	buffer_init(&values->network, VALUES_MAX_BYTES);
	if (cJSON_GetArraySize(allow) > 0) {
		json_writer_init(&w, &values->network);
		json_object_begin(&w, NULL);
		json_tree(&w, "allow", allow);
		json_object_end(&w);
	}
	if (cJSON_IsObject(agent)) {
		json_writer_init(&w, &values->agent);
		agent_write(&w, NULL, agent);
	}
	json_writer_init(&w, &values->settings);
	json_object_begin(&w, NULL);
	json_string(&w, "description", json_get_string(body, "description"));
	if (cJSON_IsObject(metadata))
		json_tree(&w, "metadata", metadata);
	else
		json_raw(&w, "metadata", "{}");
	json_object_end(&w);
	/* bounded by the body's size, a patched project by two bodies' */
	CHECK(buffer_ok(&values->agent) && buffer_ok(&values->network) && buffer_ok(&values->settings));
}

void project_values_release(struct project_values *values)
{
	free(values->concurrency);
	buffer_release(&values->agent);
	buffer_release(&values->network);
	buffer_release(&values->settings);
}

static void check_git_url(const struct gateway *gateway, const char *url, const char *pointer,
						  struct schema_problems *problems)
{
	char at[POINTER_MAX];
	(void)snprintf(at, sizeof(at), "%.100s/git_url", pointer);
	struct error err = ERROR_INIT;
	if (address_guard_check_url(gateway->git_guard, url, "https,ssh,http", &err) < 0) {
		schema_problem_put(problems, at, err.kind == ERR_DENIED ? "address_not_allowed" : "format", "%s", err.message);
		return;
	}
	/* Without TLS only where the operator says so. */
	struct url_parts parts;
	struct error other = ERROR_INIT;
	if (url_split(url, "http", &parts, &other) == 0 &&
		!address_guard_names_host(gateway->git_guard, parts.host, parts.port))
		schema_problem_put(problems, at, "address_not_allowed",
						   "http:// is not allowed for this host: use https:// or ssh://");
}

/* Addresses that are written out; what a name resolves to, the executor looks at. */
static void check_network(const struct gateway *gateway, const cJSON *allow, const char *pointer,
						  struct schema_problems *problems)
{
	const cJSON *entry;
	int index = 0;
	cJSON_ArrayForEach(entry, allow)
	{
		char at[POINTER_MAX];
		struct network_place place;
		struct error err = ERROR_INIT;
		(void)snprintf(at, sizeof(at), "%.100s/network/allow/%d", pointer, index++);
		if (!cJSON_IsString(entry) || index > NETWORK_RULES_MAX)
			continue; /* the schema complains */
		if (network_rule_read(entry->valuestring, &place, NULL, &err) < 0)
			schema_problem_put(problems, at, "format", "%s", err.message);
		else if (place.is_literal && !ip_is_public(&place.ip) &&
				 !address_guard_names_host(gateway->network_guard, place.host, place.port))
			schema_problem_add(problems, at, "address_not_allowed",
							   "%s is not a public address, and the operator (KILN_NETWORK_ALLOW) does not allow it",
							   place.host);
	}
}

void project_check_places(const struct gateway *gateway, const cJSON *body, const char *pointer,
						  struct schema_problems *problems)
{
	const char *git_url = json_get_string(body, "git_url");
	if (git_url != NULL && strlen(git_url) <= URL_MAX_LEN)
		check_git_url(gateway, git_url, pointer, problems);
	check_network(gateway, json_get(json_get(body, "network"), "allow"), pointer, problems);
}

void project_check_base(const struct gateway *gateway, const cJSON *body, const char *pointer,
						struct schema_problems *problems)
{
	char at[POINTER_MAX];
	const cJSON *url = json_get(body, "git_url");
	if ((url != NULL && !cJSON_IsNull(url)) || gateway->config->git_base_url != NULL)
		return;
	(void)snprintf(at, sizeof(at), "%.100s/git_url", pointer);
	schema_problem_add(problems, at, "required", "this deployment has no base for projects without a git_url");
}

void project_check(const struct gateway *gateway, const cJSON *body, const char *pointer,
				   struct schema_problems *problems)
{
	char at[POINTER_MAX];
	const char *name = json_get_string(body, "name");
	const cJSON *agent = json_get(body, "agent");
	if (name != NULL && (uuid_is_valid(name, strlen(name)) || str_equal(name, "create-and-build"))) {
		(void)snprintf(at, sizeof(at), "%.100s/name", pointer);
		schema_problem_add(problems, at, "reserved_name", "a name is not a UUID and not \"create-and-build\"");
	}
	if (cJSON_IsObject(agent)) {
		(void)snprintf(at, sizeof(at), "%.100s/agent", pointer);
		agent_check(agent, at, problems);
	}
	project_check_places(gateway, body, pointer, problems);
}

static void show_secret(struct project_secret *ret)
{
	CLEANUP(buffer_release_p) struct buffer text;
	buffer_init(&text, sizeof(ret->shown));
	CHECK(base64_append(&text, ret->bytes, sizeof(ret->bytes)) == 0);
	(void)snprintf(ret->shown, sizeof(ret->shown), "whsec_%s", text.data); /* 6 and 44 characters */
}

void project_secret_make(struct project_secret *ret)
{
	random_bytes(ret->bytes, sizeof(ret->bytes));
	hex_encode(ret->bytes, sizeof(ret->bytes), ret->hex);
	show_secret(ret);
}

int project_secret_read(struct pg_conn *conn, const char *id, const char *token_id, struct project_secret *ret,
						bool *ret_found, struct error *err)
{
	CLEANUP(pg_result_p) PGresult *rows = NULL;
	if (pg_query(conn, &sql_project_secret, PG_PARAMS(id, token_id), 2, &rows, err) < 0)
		return -1;
	*ret_found = PQntuples(rows) > 0;
	if (!*ret_found)
		return 0;
	const char *hex = pg_text(rows, 0, "secret");
	if (strlen(hex) != 2 * sizeof(ret->bytes) || hex_decode(hex, strlen(hex), ret->bytes, sizeof(ret->bytes)) < 0)
		return error_set(err, ERR_INTERNAL, "the webhook secret of project %s is not one", id);
	memcpy(ret->hex, hex, sizeof(ret->hex));
	show_secret(ret);
	return 0;
}

static int insert_in_tx(struct request *request, struct pg_conn *conn, const char *id,
						const struct project_values *values, const struct project_secret *secret,
						const char *provisional_build, PGresult **ret_rows, bool *ret_taken, struct error *err)
{
	const char *params[] = {id,
							values->name,
							values->git_url,
							values->branch,
							values->credential,
							values->concurrency,
							buffer_or_null(&values->agent),
							values->settings.data,
							secret->hex,
							provisional_build,
							buffer_or_null(&values->network)};
	PGresult *rows = NULL;
	if (pg_query(conn, &sql_project_insert, params, ARRAY_LEN(params), &rows, err) < 0)
		return -1;
	*ret_taken = PQntuples(rows) == 0;
	if (!*ret_taken && project_row_announce(request, conn, rows, "project.created", err) < 0) {
		PQclear(rows);
		return -1;
	}
	if (!*ret_taken)
		audit_note(request, "created", "project", id);
	*ret_rows = rows;
	return 0;
}

int project_row_insert(struct request *request, struct pg_conn *conn, const char *id,
					   const struct project_values *values, const struct project_secret *secret,
					   const char *provisional_build, PGresult **ret_rows, bool *ret_taken, struct error *err)
{
	PGresult *rows = NULL;
	bool joins = pg_in_transaction(conn);
	if (!joins && pg_begin(conn, err) < 0)
		return -1;
	if (insert_in_tx(request, conn, id, values, secret, provisional_build, &rows, ret_taken, err) < 0 ||
		(!joins && !*ret_taken && audit_commit(request, conn, err) < 0)) {
		PQclear(rows);
		pg_rollback(conn);
		return -1;
	}
	if (!joins && *ret_taken)
		pg_rollback(conn); /* not as a commit: from that on the request might have an effect */
	*ret_rows = rows;
	return 0;
}

void project_row_made(struct request *request, struct pg_conn *conn, const PGresult *rows)
{
	CLEANUP(project_unref_p) struct project *project = project_from_row(rows, 0);
	caches_put_project(request->gateway->caches, project);
	struct error notify = ERROR_INIT;
	if (outbox_notify(conn, &notify) < 0) /* the relay looks once a second anyway */
		log_debug("outbox not notified", "error", notify.message, NULL);
}
