/* A posted BuildSpec, looked through once: the hot path asks for twenty members, and each look into a cJSON object
 * walks its list. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "common/json/json.h"
#include "common/json/schema.h"

enum spec_field {
	SPEC_PROMPT,
	SPEC_TEMPLATE,
	SPEC_VARIABLES,
	SPEC_AUTO_COMMIT,
	SPEC_AUTO_PUSH,
	SPEC_CALLBACK_URL,
	SPEC_AGENT,
	SPEC_BRANCH,
	SPEC_COMMIT_MESSAGE,
	SPEC_PRIORITY,
	SPEC_LABELS,
	SPEC_TIMEOUT_S,
	SPEC_QUEUE_TIMEOUT_S,
	SPEC_MAX_ATTEMPTS,
	SPEC_ARTIFACTS,
	SPEC_METADATA,
	SPEC_CONTINUE_FROM,
	SPEC_WAIT_FOR_PIPELINE,
	SPEC_ON_RED,
	SPEC_FIELDS,
};

/* Members of the tree that it was made of; NULL when absent or null. */
struct spec {
	const cJSON *at[SPEC_FIELDS];
};

/* `body` may be anything: of what is no object every member is NULL. */
void spec_find(const cJSON *body, struct spec *ret);
const char *spec_name(enum spec_field field);

/* A member of another type is as one that is absent. */
const char *spec_text(const struct spec *spec, enum spec_field field);
bool spec_flag(const struct spec *spec, enum spec_field field);
int64_t spec_int(const struct spec *spec, enum spec_field field, int64_t fallback);

/* The size of metadata that no schema has measured: what was merged, or taken by older rules. NULL fits. */
void spec_check_metadata(const cJSON *metadata, struct schema_problems *problems);
