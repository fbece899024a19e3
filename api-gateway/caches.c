#include "api-gateway/caches.h"

#include <pthread.h>

#include "common/base/alloc.h"
#include "common/base/clock.h"
#include "common/base/log.h"
#include "common/base/metrics.h"
#include "common/base/str.h"
#include "common/base/wakeup.h"
#include "kiln_gateway_sql.h"

#define MAX_TOKENS 100000
#define MAX_PROJECTS 100000
#define MAX_TEMPLATES 1000
#define SECRET_MAX 64

#define REFRESH_MS 1000
#define RELOAD_MS ((int64_t)10 * 60 * 1000)
/* What changed is asked for this far back: longer than a transaction can last, and than the pause that CATCH_UP_MS
 * allows. */
#define WINDOW_S "40"
#define CATCH_UP_MS 15000

struct caches {
	struct shared_map *tokens; /* by hash */
	struct shared_map *projects_by_id;
	struct shared_map *projects_by_name;
	struct shared_map *templates; /* by NAME@VERSION, and the newest by NAME */
	struct pg_conn *conn;         /* the thread's */
	pthread_t thread;
	struct wakeup wakeup;
	_Atomic bool stop, up, filled;
	_Atomic size_t secret_len;
	uint8_t secret[SECRET_MAX]; /* written once, before secret_len */
};

static struct metric up_gauge = {
	.kind = METRIC_GAUGE, .name = "kiln_gateway_database_up", .help = "1 while Postgres answers."};

struct token *caches_token(struct caches *caches, const uint8_t hash[SHA256_SIZE])
{
	struct shared *found = shared_map_get(caches->tokens, hash, SHA256_SIZE);
	if (found == NULL)
		return NULL;
	struct token *token = CONTAINER_OF(found, struct token, shared);
	CHECK(str_equal_constant_time(token->hash, hash, SHA256_SIZE));
	return token;
}

bool caches_token_works(struct caches *caches, const struct token *token)
{
	if (token->expires_us <= clock_wall_us())
		return false;
	CLEANUP(token_unref_p) struct token *found = caches_token(caches, token->hash);
	return found != NULL;
}

struct project *caches_project(struct caches *caches, const char *id_or_name)
{
	size_t len = strlen(id_or_name);
	bool by_id = uuid_is_valid(id_or_name, len);
	struct shared *found = shared_map_get(by_id ? caches->projects_by_id : caches->projects_by_name, id_or_name, len);
	return found != NULL ? CONTAINER_OF(found, struct project, shared) : NULL;
}

struct template *caches_template(struct caches *caches, const char *reference)
{
	struct shared *found = shared_map_get(caches->templates, reference, strlen(reference));
	return found != NULL ? CONTAINER_OF(found, struct template, shared) : NULL;
}

void caches_put_token(struct caches *caches, struct token *token)
{
	shared_map_put(caches->tokens, token->hash, SHA256_SIZE, &token->shared);
}

void caches_drop_token(struct caches *caches, const uint8_t hash[SHA256_SIZE])
{
	shared_map_remove(caches->tokens, hash, SHA256_SIZE);
}

static void drop_project(struct caches *caches, const struct project *project)
{
	shared_map_remove(caches->projects_by_id, project->id, strlen(project->id));
	/* The name may be another project's by now. */
	CLEANUP(project_unref_p) struct project *named = caches_project(caches, project->name);
	if (named != NULL && str_equal(named->id, project->id))
		shared_map_remove(caches->projects_by_name, project->name, strlen(project->name));
}

void caches_put_project(struct caches *caches, struct project *project)
{
	if (project->deleted) {
		drop_project(caches, project);
		return;
	}
	CLEANUP(project_unref_p) struct project *known = caches_project(caches, project->id);
	if (known != NULL && known->version > project->version)
		return; /* read before a change that this gateway has made meanwhile */
	shared_map_put(caches->projects_by_id, project->id, strlen(project->id), &project->shared);
	shared_map_put(caches->projects_by_name, project->name, strlen(project->name), &project->shared);
}

void caches_put_template(struct caches *caches, struct template *template)
{
	char reference[80];
	(void)snprintf(reference, sizeof(reference), "%s@%d", template->name, template->version);
	shared_map_put(caches->templates, reference, strlen(reference), &template->shared);
	CLEANUP(template_unref_p) struct template *newest = caches_template(caches, template->name);
	if (newest == NULL || newest->version <= template->version)
		shared_map_put(caches->templates, template->name, strlen(template->name), &template->shared);
}

int caches_load_token(struct caches *caches, struct pg_conn *conn, const uint8_t hash[SHA256_SIZE], struct token **ret,
					  struct error *err)
{
	char hex[2 * SHA256_SIZE + 1];
	hex_encode(hash, SHA256_SIZE, hex);
	CLEANUP(pg_result_p) PGresult *result = NULL;
	if (pg_query(conn, &sql_cache_token, PG_PARAMS(hex), 1, &result, err) < 0)
		return -1;
	struct token *token = PQntuples(result) > 0 ? token_from_row(result, 0) : NULL;
	if (token != NULL)
		caches_put_token(caches, token);
	*ret = token;
	return 0;
}

int caches_load_project(struct caches *caches, struct pg_conn *conn, const char *id_or_name, struct project **ret,
						struct error *err)
{
	bool by_id = uuid_is_valid(id_or_name, strlen(id_or_name));
	CLEANUP(pg_result_p) PGresult *result = NULL;
	if (pg_query(conn, by_id ? &sql_cache_project_by_id : &sql_cache_project_by_name, PG_PARAMS(id_or_name), 1, &result,
				 err) < 0)
		return -1;
	struct project *project = PQntuples(result) > 0 ? project_from_row(result, 0) : NULL;
	if (project != NULL)
		caches_put_project(caches, project);
	*ret = project;
	return 0;
}

int caches_load_template(struct caches *caches, struct pg_conn *conn, const char *reference, struct template **ret,
						 struct error *err)
{
	char name[80];
	(void)snprintf(name, sizeof(name), "%s", reference);
	char *at = strchr(name, '@');
	if (at != NULL)
		*at = '\0';
	const char *params[] = {name, at != NULL ? at + 1 : NULL};
	CLEANUP(pg_result_p) PGresult *result = NULL;
	if (pg_query(conn, at != NULL ? &sql_cache_template_version : &sql_cache_template_newest, params,
				 at != NULL ? 2 : 1, &result, err) < 0)
		return -1;
	struct template *template = PQntuples(result) > 0 ? template_from_row(result, 0) : NULL;
	if (template != NULL)
		caches_put_template(caches, template);
	*ret = template;
	return 0;
}

const uint8_t *caches_secret(struct caches *caches, size_t *ret_len)
{
	size_t len = atomic_load_explicit(&caches->secret_len, memory_order_acquire);
	*ret_len = len;
	return len > 0 ? caches->secret : NULL;
}

bool caches_database_up(struct caches *caches)
{
	return atomic_load(&caches->up);
}

bool caches_filled(struct caches *caches)
{
	return atomic_load(&caches->filled);
}

static void take_tokens(struct caches *caches, const PGresult *result)
{
	for (int row = 0; row < PQntuples(result); row++) {
		CLEANUP(token_unref_p) struct token *token = token_from_row(result, row);
		if (token == NULL)
			continue;
		if (pg_bool(result, row, "revoked"))
			caches_drop_token(caches, token->hash);
		else
			caches_put_token(caches, token);
	}
}

static void take_projects(struct caches *caches, const PGresult *result)
{
	for (int row = 0; row < PQntuples(result); row++) {
		CLEANUP(project_unref_p) struct project *project = project_from_row(result, row);
		caches_put_project(caches, project);
	}
}

static void take_templates(struct caches *caches, const PGresult *result)
{
	for (int row = 0; row < PQntuples(result); row++) {
		CLEANUP(template_unref_p) struct template *template = template_from_row(result, row);
		if (template != NULL)
			caches_put_template(caches, template);
	}
}

static int query(struct caches *caches, const struct pg_statement *statement, const char *param,
				 void (*take)(struct caches *caches, const PGresult *result), struct error *err)
{
	CLEANUP(pg_result_p) PGresult *result = NULL;
	if (pg_query(caches->conn, statement, PG_PARAMS(param), 1, &result, err) < 0)
		return -1;
	take(caches, result);
	return 0;
}

static int load_secret(struct caches *caches, struct error *err)
{
	if (atomic_load(&caches->secret_len) > 0)
		return 0;
	CLEANUP(pg_result_p) PGresult *result = NULL;
	if (pg_query(caches->conn, &sql_cache_deployment, NULL, 0, &result, err) < 0)
		return -1;
	const char *hex = PQntuples(result) > 0 ? pg_text(result, 0, "secret") : "";
	size_t len = strlen(hex) / 2;
	if (len == 0 || len > SECRET_MAX || hex_decode(hex, strlen(hex), caches->secret, len) < 0)
		return error_set(err, ERR_INTERNAL, "the table deployment has no usable secret: run kiln-migrate");
	atomic_store_explicit(&caches->secret_len, len, memory_order_release);
	return 0;
}

/* Everything; what is gone from Postgres goes from here. */
static int reload(struct caches *caches, struct error *err)
{
	struct shared_map *maps[] = {caches->tokens, caches->projects_by_id, caches->projects_by_name, caches->templates};
	for (size_t i = 0; i < ARRAY_LEN(maps); i++)
		shared_map_sweep_begin(maps[i]);
	if (load_secret(caches, err) < 0 ||
		query(caches, &sql_cache_tokens_all, LOG_INT(MAX_TOKENS), take_tokens, err) < 0 ||
		query(caches, &sql_cache_projects_all, LOG_INT(MAX_PROJECTS), take_projects, err) < 0 ||
		query(caches, &sql_cache_templates_all, LOG_INT(MAX_TEMPLATES), take_templates, err) < 0)
		return -1;
	for (size_t i = 0; i < ARRAY_LEN(maps); i++)
		shared_map_sweep_end(maps[i]);
	return 0;
}

static int refresh(struct caches *caches, struct error *err)
{
	if (query(caches, &sql_cache_tokens_changed, WINDOW_S, take_tokens, err) < 0 ||
		query(caches, &sql_cache_projects_changed, WINDOW_S, take_projects, err) < 0)
		return -1;
	return query(caches, &sql_cache_templates_changed, WINDOW_S, take_templates, err);
}

static void set_up(struct caches *caches, bool up, const struct error *err)
{
	if (atomic_exchange(&caches->up, up) == up)
		return;
	metric_set(&up_gauge, up);
	if (up)
		log_info("database answers", NULL);
	else
		log_warn("database is away", "error", err->message, NULL);
}

static void *follow(void *arg)
{
	struct caches *caches = arg;
	int64_t refreshed_ms = 0, reloaded_ms = 0;
	bool complained = false;
	(void)pthread_setname_np(pthread_self(), "gateway-caches"); /* for people who look at threads */
	while (!atomic_load(&caches->stop)) {
		int64_t now_ms = clock_boot_ms();
		bool all = !caches_filled(caches) || now_ms - refreshed_ms > CATCH_UP_MS || now_ms - reloaded_ms > RELOAD_MS;
		struct error err = ERROR_INIT;
		int failed = all ? reload(caches, &err) : refresh(caches, &err);
		set_up(caches, failed == 0, &err);
		if (failed == 0) {
			atomic_store(&caches->filled, true);
			refreshed_ms = now_ms;
			reloaded_ms = all ? now_ms : reloaded_ms;
		} else if (!complained) { /* it was away from the start */
			log_warn("database is away", "error", err.message, NULL);
		}
		complained = true;
		(void)wakeup_wait(&caches->wakeup, REFRESH_MS); /* woken only to stop */
	}
	return NULL;
}

int caches_start(struct gateway *gateway, struct caches **ret_caches, struct error *err)
{
	struct caches *caches = xcalloc(1, sizeof(*caches));
	caches->tokens = shared_map_new(MAX_TOKENS);
	caches->projects_by_id = shared_map_new(MAX_PROJECTS);
	caches->projects_by_name = shared_map_new(MAX_PROJECTS);
	caches->templates = shared_map_new((size_t)MAX_TEMPLATES * 2);
	/* Short: a revoked token must stop within 5 s, and an outage must be noticed. */
	const struct pg_settings settings = {
		.url = gateway->config->database_url,
		.application_name = "kiln-gateway-caches",
		.connect_timeout_ms = 2000,
		.call_timeout_ms = 3000,
		.statement_timeout_ms = 2500,
	};
	caches->conn = pg_conn_new(&settings);
	wakeup_init(&caches->wakeup);
	metric_register(&up_gauge);
	int failed = pthread_create(&caches->thread, NULL, follow, caches);
	if (failed != 0) {
		pg_conn_free(caches->conn);
		free(caches);
		return error_set_errno(err, failed, "starting the cache thread");
	}
	*ret_caches = caches;
	return 0;
}

void caches_stop(struct caches *caches)
{
	if (caches == NULL)
		return;
	atomic_store(&caches->stop, true);
	wakeup_signal(&caches->wakeup);
	CHECK(pthread_join(caches->thread, NULL) == 0);
	wakeup_release(&caches->wakeup);
	pg_conn_free(caches->conn);
	shared_map_free(caches->tokens);
	shared_map_free(caches->projects_by_id);
	shared_map_free(caches->projects_by_name);
	shared_map_free(caches->templates);
	free(caches);
}
