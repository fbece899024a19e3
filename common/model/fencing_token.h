/* The fencing token (docs/protocol.md section 1): build, attempt, lease; all three are compared everywhere. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "common/base/ids.h"
#include "common/json/json.h"

struct fencing_token {
	char build_id[UUID_TEXT_SIZE];
	int32_t attempt;
	char lease_id[UUID_TEXT_SIZE];
};

/* From the fields build_id, attempt, lease_id of an object. ERR_INVALID names the bad one. */
int fencing_token_read(const cJSON *object, struct fencing_token *ret_token, struct error *err) MUST_CHECK;
/* Writes the three fields into the open object. */
void fencing_token_write(struct json_writer *w, const struct fencing_token *token);
bool fencing_token_equal(const struct fencing_token *a, const struct fencing_token *b);
