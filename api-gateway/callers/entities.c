#include "api-gateway/callers/entities.h"

#include "api-gateway/callers/scopes.h"
#include "common/base/alloc.h"
#include "common/base/clock.h"
#include "common/base/log.h"
#include "common/base/str.h"
#include "common/pg/pg.h"

/* Of malloc's blocks and what points to them. */
#define NAME_OVERHEAD_BYTES 32
#define ITEM_OVERHEAD_BYTES 160

static void free_token(struct shared *self)
{
	struct api_token *token = CONTAINER_OF(self, struct api_token, shared);
	free(token->name);
	strv_free(token->projects);
	free(token);
}

static void free_project(struct shared *self)
{
	struct project *project = CONTAINER_OF(self, struct project, shared);
	free(project->git_url);
	free(project->branch);
	free(project->credential);
	free(project->agent);
	free(project->network);
	free(project);
}

static void free_template(struct shared *self)
{
	struct template *template = CONTAINER_OF(self, struct template, shared);
	free(template->text);
	cJSON_Delete(template->defaults);
	free(template);
}

/* A JSON column; NULL for SQL NULL. Postgres wrote it, so a failure is a bug or a broken database. */
static cJSON *json_column(const PGresult *result, int row, const char *column, bool *ok)
{
	const char *text = pg_text(result, row, column);
	if (text == NULL)
		return NULL;
	cJSON *tree = NULL;
	struct error err = ERROR_INIT;
	if (json_parse(text, strlen(text), &tree, &err) < 0) {
		log_error("unreadable JSON in the database", "column", column, "error", err.message, NULL);
		*ok = false;
		return NULL;
	}
	return tree;
}

/* What an object takes in memory, about: the texts of its row, and `more`. */
static size_t bytes_of(const PGresult *result, int row, size_t more)
{
	for (int column = 0; column < PQnfields(result); column++)
		more += (size_t)PQgetlength(result, row, column);
	return more;
}

static char **names_of(const cJSON *array)
{
	int count = cJSON_GetArraySize(array), used = 0;
	char **names = xcalloc((size_t)count + 1, sizeof(*names));
	const cJSON *item;
	cJSON_ArrayForEach(item, array)
	{
		if (cJSON_IsString(item))
			names[used++] = xstrdup(item->valuestring);
	}
	return names;
}

struct api_token *api_token_from_row(const PGresult *result, int row)
{
	bool ok = true;
	CLEANUP(cJSON_Delete_p) cJSON *scopes = json_column(result, row, "scopes", &ok);
	CLEANUP(cJSON_Delete_p) cJSON *projects = json_column(result, row, "projects", &ok);
	const char *hash = pg_text(result, row, "hash");
	struct api_token *token = xcalloc(1, sizeof(*token));
	shared_init(&token->shared, free_token);
	if (!ok || hex_decode(hash, strlen(hash), token->hash, sizeof(token->hash)) < 0) {
		api_token_unref(token);
		return NULL;
	}
	(void)snprintf(token->id, sizeof(token->id), "%s", pg_text(result, row, "id"));
	token->name = xstrdup(pg_text(result, row, "name"));
	const cJSON *scope;
	cJSON_ArrayForEach(scope, scopes)
	{
		if (cJSON_IsString(scope))
			token->scopes |= scope_from_name(scope->valuestring); /* unknown ones give nothing */
	}
	token->projects = projects != NULL ? names_of(projects) : NULL;
	token->max_priority = (int)pg_int(result, row, "max_priority", 0);
	token->expires_us = pg_int(result, row, "expires_us", INT64_MAX);
	token->shared.bytes =
		bytes_of(result, row, sizeof(*token) + (size_t)cJSON_GetArraySize(projects) * NAME_OVERHEAD_BYTES);
	return token;
}

struct project *project_from_row(const PGresult *result, int row)
{
	struct project *project = xcalloc(1, sizeof(*project));
	shared_init(&project->shared, free_project);
	(void)snprintf(project->id, sizeof(project->id), "%s", pg_text(result, row, "id"));
	(void)snprintf(project->name, sizeof(project->name), "%s", pg_text(result, row, "name"));
	project->git_url = xstrdup(pg_text(result, row, "git_url"));
	project->branch = xstrdup(pg_text(result, row, "branch"));
	project->credential = xstrdup(pg_text(result, row, "credential"));
	project->agent = xstrdup(pg_text(result, row, "agent"));
	project->network = xstrdup(pg_text(result, row, "network"));
	project->version = pg_int(result, row, "version", 0);
	project->provisional = pg_text(result, row, "provisional_build") != NULL;
	project->deleted = pg_bool(result, row, "deleted");
	project->shared.bytes = bytes_of(result, row, sizeof(*project));
	return project;
}

struct template *template_from_row(const PGresult *result, int row)
{
	bool ok = true;
	cJSON *defaults = json_column(result, row, "defaults", &ok);
	if (!ok)
		return NULL;
	struct template *template = xcalloc(1, sizeof(*template));
	shared_init(&template->shared, free_template);
	(void)snprintf(template->name, sizeof(template->name), "%s", pg_text(result, row, "name"));
	template->version = (int)pg_int(result, row, "version", 0);
	template->text = xstrdup(pg_text(result, row, "text"));
	template->defaults = defaults;
	template->shared.bytes =
		bytes_of(result, row, sizeof(*template) + (size_t)cJSON_GetArraySize(defaults) * ITEM_OVERHEAD_BYTES);
	return template;
}

bool api_token_sees_project(const struct api_token *token, const char *project_name)
{
	return token->projects == NULL || strv_contains(token->projects, project_name);
}
