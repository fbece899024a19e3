#include "api-gateway/callers/caches_private.h"

#include "common/base/alloc.h"
#include "common/base/clock.h"
#include "common/base/mutex.h"
#include "common/base/str.h"
#include "kiln_gateway_sql.h"

#define REFERENCE_SIZE 80 /* NAME@VERSION: 63 bytes and a number */

struct api_token *caches_token(struct caches *caches, const uint8_t hash[SHA256_SIZE])
{
	struct shared *found = shared_map_get(caches->tokens, hash, SHA256_SIZE);
	if (found == NULL)
		return NULL;
	struct api_token *token = CONTAINER_OF(found, struct api_token, shared);
	CHECK(str_equal_constant_time(token->hash, hash, SHA256_SIZE));
	return token;
}

bool caches_token_works(struct caches *caches, const struct api_token *token)
{
	if (token->expires_us <= clock_wall_us())
		return false;
	CLEANUP(api_token_unref_p) struct api_token *found = caches_token(caches, token->hash);
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

void caches_put_token(struct caches *caches, struct api_token *token)
{
	shared_map_put(caches->tokens, token->hash, SHA256_SIZE, &token->shared);
}

void caches_drop_token(struct caches *caches, const uint8_t hash[SHA256_SIZE])
{
	shared_map_remove(caches->tokens, hash, SHA256_SIZE);
}

void caches_drop_project(struct caches *caches, const char *id, const char *name)
{
	shared_map_remove(caches->projects_by_id, id, strlen(id));
	/* The name may be another project's by now. */
	CLEANUP(project_unref_p) struct project *named = caches_project(caches, name);
	if (named != NULL && str_equal(named->id, id))
		shared_map_remove(caches->projects_by_name, name, strlen(name));
}

void caches_put_project(struct caches *caches, struct project *project)
{
	if (project->deleted) {
		caches_drop_project(caches, project->id, project->name);
		return;
	}
	CLEANUP(project_unref_p) struct project *known = caches_project(caches, project->id);
	if (known != NULL && known->version > project->version)
		return; /* read before a change that this gateway has made meanwhile */
	shared_map_put(caches->projects_by_id, project->id, strlen(project->id), &project->shared);
	shared_map_put(caches->projects_by_name, project->name, strlen(project->name), &project->shared);
}

static void put_version(struct caches *caches, struct template *template)
{
	char reference[REFERENCE_SIZE];
	(void)snprintf(reference, sizeof(reference), "%s@%d", template->name, template->version);
	shared_map_put(caches->templates, reference, strlen(reference), &template->shared);
}

void caches_put_template(struct caches *caches, struct template *template)
{
	put_version(caches, template);
	CLEANUP(template_unref_p) struct template *newest = caches_template(caches, template->name);
	if (newest == NULL || newest->version <= template->version)
		shared_map_put(caches->templates, template->name, strlen(template->name), &template->shared);
}

static void lock_looks(struct caches *caches)
{
	mutex_lock(&caches->looks_lock);
}

static void unlock_looks(struct caches *caches)
{
	mutex_unlock(&caches->looks_lock);
}

void caches_looked(struct caches *caches)
{
	lock_looks(caches);
	caches->looks++;
	unlock_looks(caches);
}

static uint64_t looks_so_far(struct caches *caches)
{
	lock_looks(caches);
	uint64_t looks = caches->looks;
	unlock_looks(caches);
	return looks;
}

int caches_load_token(struct caches *caches, struct pg_conn *conn, const uint8_t hash[SHA256_SIZE],
					  struct api_token **ret, struct error *err)
{
	char hex[2 * SHA256_SIZE + 1], hashes[sizeof(hex) + 2];
	hex_encode(hash, SHA256_SIZE, hex);
	(void)snprintf(hashes, sizeof(hashes), "{%s}", hex); /* fits */
	CLEANUP(pg_result_p) PGresult *result = NULL;
	if (pg_query(conn, &sql_cache_tokens, PG_PARAMS(hashes), 1, &result, err) < 0)
		return -1;
	struct api_token *token = PQntuples(result) > 0 ? api_token_from_row(result, 0) : NULL;
	/* In any case: a stream ends when its token is not found. A revocation is seen by the next look. */
	if (token != NULL)
		caches_put_token(caches, token);
	*ret = token;
	return 0;
}

int caches_load_project(struct caches *caches, struct pg_conn *conn, const char *id_or_name, struct project **ret,
						struct error *err)
{
	char ids[UUID_TEXT_SIZE + 2];
	bool by_id = uuid_is_valid(id_or_name, strlen(id_or_name));
	(void)snprintf(ids, sizeof(ids), "{%s}", by_id ? id_or_name : ""); /* fits */
	CLEANUP(pg_result_p) PGresult *result = NULL;
	uint64_t looks = looks_so_far(caches);
	if (pg_query(conn, by_id ? &sql_cache_projects : &sql_cache_project_by_name, PG_PARAMS(by_id ? ids : id_or_name), 1,
				 &result, err) < 0)
		return -1;
	struct project *project = PQntuples(result) > 0 ? project_from_row(result, 0) : NULL;
	lock_looks(caches);
	if (project != NULL && caches->looks == looks)
		caches_put_project(caches, project);
	unlock_looks(caches);
	*ret = project;
	return 0;
}

int caches_load_template(struct caches *caches, struct pg_conn *conn, const char *reference, struct template **ret,
						 struct error *err)
{
	char name[REFERENCE_SIZE];
	(void)snprintf(name, sizeof(name), "%s", reference);
	char *at = strchr(name, '@');
	if (at != NULL)
		*at = '\0';
	const char *params[] = {name, at != NULL ? at + 1 : NULL};
	CLEANUP(pg_result_p) PGresult *result = NULL;
	uint64_t looks = looks_so_far(caches);
	if (pg_query(conn, at != NULL ? &sql_cache_template_version : &sql_cache_template_newest, params,
				 at != NULL ? 2 : 1, &result, err) < 0)
		return -1;
	struct template *template = PQntuples(result) > 0 ? template_from_row(result, 0) : NULL;
	if (template != NULL && at != NULL)
		put_version(caches, template); /* which never changes; there may be newer ones */
	lock_looks(caches);
	if (template != NULL && at == NULL && caches->looks == looks)
		caches_put_template(caches, template);
	unlock_looks(caches);
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

static void caches_free(struct caches *caches)
{
	pg_conn_free(caches->conn);
	(void)pthread_mutex_destroy(&caches->looks_lock); /* nobody holds it any more */
	shared_map_free(caches->tokens);
	shared_map_free(caches->projects_by_id);
	shared_map_free(caches->projects_by_name);
	shared_map_free(caches->templates);
	free(caches);
}

int caches_start(struct gateway *gateway, struct caches **ret_caches, struct error *err)
{
	struct caches *caches = xcalloc(1, sizeof(*caches));
	caches->tokens = shared_map_new(CACHES_MAX_TOKENS, CACHES_MAX_BYTES);
	caches->projects_by_id = shared_map_new(CACHES_MAX_PROJECTS, CACHES_MAX_BYTES);
	caches->projects_by_name = shared_map_new(CACHES_MAX_PROJECTS, CACHES_MAX_BYTES);
	caches->templates = shared_map_new(CACHES_MAX_TEMPLATES, CACHES_MAX_TEMPLATE_BYTES);
	mutex_init(&caches->looks_lock);
	/* Short: a revoked token must stop within 5 s, and an outage must be noticed. */
	const struct pg_settings settings = {
		.url = gateway->config->database_url,
		.application_name = "kiln-gateway-caches",
		.connect_timeout_ms = 2000,
		.call_timeout_ms = 3000,
		.statement_timeout_ms = 2500,
	};
	caches->conn = pg_conn_new(&settings);
	if (caches_follow_start(caches, err) < 0) {
		caches_free(caches);
		return -1;
	}
	*ret_caches = caches;
	return 0;
}

void caches_stop(struct caches *caches)
{
	if (caches == NULL)
		return;
	caches_follow_stop(caches);
	caches_free(caches);
}
