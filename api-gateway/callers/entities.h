/* What the caches hold of tokens, projects and templates: immutable once made, reference-counted. */
#pragma once

#include <libpq-fe.h>
#include <stdbool.h>
#include <stdint.h>

#include "api-gateway/callers/shared_map.h"
#include "common/base/hash.h"
#include "common/base/ids.h"
#include "common/json/json.h"

struct api_token {
	struct shared shared;
	uint8_t hash[SHA256_SIZE]; /* of the token's text */
	char id[UUID_TEXT_SIZE];
	char *name;
	uint64_t scopes;
	char **projects; /* names, NULL-terminated; NULL: all */
	int max_priority;
	int64_t expires_us; /* wall clock; INT64_MAX: never */
};

struct project {
	struct shared shared;
	char id[UUID_TEXT_SIZE];
	char name[64];
	char *git_url;    /* NULL: under the base */
	char *branch;     /* NULL */
	char *credential; /* NULL */
	char *agent;      /* JSON with every field, or NULL */
	char *network;    /* JSON as posted, or NULL */
	int64_t version;
	bool provisional;
	bool deleted;
};

struct template
{
	struct shared shared;
	char name[64];
	int version;
	char *text;
	cJSON *defaults; /* object of strings */
};

/* From a row of token-*.sql, project-*.sql, template-*.sql. One reference, the caller's; NULL for a row that cannot be
 * read (logged). */
struct api_token *api_token_from_row(const PGresult *result, int row);
struct project *project_from_row(const PGresult *result, int row);
struct template *template_from_row(const PGresult *result, int row);

static inline void api_token_unref(struct api_token *token)
{
	if (token != NULL)
		shared_unref(&token->shared);
}
DEFINE_CLEANUP(struct api_token, api_token_unref)
static inline void project_unref(struct project *project)
{
	if (project != NULL)
		shared_unref(&project->shared);
}
DEFINE_CLEANUP(struct project, project_unref)
static inline void template_unref(struct template *template)
{
	if (template != NULL)
		shared_unref(&template->shared);
}
DEFINE_CLEANUP(struct template, template_unref)

/* Whether the token is for this project's things. */
bool api_token_sees_project(const struct api_token *token, const char *project_name);
