/*
 * From a posted BuildSpec to the data of build.requested (docs/messages.md): rules that the schema cannot say,
 * template, defaults, and the JSON with every field present. Any thread; nothing here waits.
 */
#pragma once

#include <stdbool.h>

#include "api-gateway/callers/entities.h"
#include "api-gateway/gateway.h"
#include "api-gateway/builds/spec.h"
#include "common/base/buffer.h"
#include "common/base/hash.h"
#include "common/base/ids.h"
#include "common/json/json.h"
#include "common/json/schema.h"

struct request;

struct build_request {
	const struct gateway *gateway;
	const struct request *request; /* for the origin; NULL: none is written */
	const struct api_token *token;
	const struct project *project;
	const struct template *template; /* NULL: the spec names none, or one that does not exist */
	struct spec spec;
	const char *pointer; /* of the spec in the body: "" or "/build" */
	char build_id[UUID_TEXT_SIZE];
	bool provisional;
	uint8_t request_hash[SHA256_SIZE]; /* of a request with an Idempotency-Key: no other's is asked for */
	const char *retry_of;              /* the id of the build that this one repeats; NULL: it was posted */
};

/* The template that the spec names ("name" or "name@version"); NULL: none, or what is no template's name, as the schema
 * says. */
const char *build_request_template(const struct spec *spec);

/* Adds what is wrong beyond the schema, whose problems are there already. The members may be of any type: what the
 * schema complains about is left to it, or said better. */
void build_request_check(const struct build_request *build, struct schema_problems *problems);
/* The priority as posted, or the default that the token allows. False when a higher one than the token's was asked for.
 */
bool build_request_priority(const struct build_request *build, int *ret_priority);

/* The prompt as the agent gets it, into `prompt` (its maximum is the limit of a rendered prompt). After
 * build_request_check, also when that or the schema found something: adds problems of the template's variables, or that
 * it is too long, as far as they can be known. */
void build_request_render(const struct build_request *build, struct buffer *prompt, struct schema_problems *problems);

/* The record's value into `value`, when there are no problems and the token allows the priority. */
void build_request_write(const struct build_request *build, const struct buffer *prompt, struct buffer *value);

/* The same for a build that repeats another one (build->retry_of): `spec` is that one's, resolved as it is. Of the
 * network it gets what the project has now. */
void build_request_write_again(const struct build_request *build, const cJSON *spec, struct buffer *value);

/* SHA-256 of the canonical form of the posted body. */
void build_request_hash(const cJSON *body, struct buffer *scratch, uint8_t ret[SHA256_SIZE]);

/* What project rows and requests share: an agent with every field, from one as posted (checked by the schema). */
void agent_write(struct json_writer *w, const char *key, const cJSON *agent);
/* Rules of an agent beyond the schema: `command` goes with the provider of that name, and only with it. After the
 * schema's, as build_request_check. */
void agent_check(const cJSON *agent, const char *pointer, struct schema_problems *problems);
