/* The fencing token (docs/protocol.md section 1): build, attempt, lease; all three are compared everywhere. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "common/base/ids.h"
#include "common/json/json.h"

struct token {
	char build_id[UUID_TEXT_SIZE];
	char lease_id[UUID_TEXT_SIZE];
	int64_t attempt;
};

/* From the fields build_id, attempt, lease_id of an object. ERR_INVALID names the bad one. */
int token_read(const cJSON *object, struct token *ret_token, struct error *err) MUST_CHECK;
/* Writes the three fields into the open object. */
void token_write(struct json_writer *w, const struct token *token);
bool token_equal(const struct token *a, const struct token *b);
