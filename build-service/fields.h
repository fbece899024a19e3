/* The pieces that messages share (schemas/common.json), from parsed JSON. Each that reads returns -1 with ERR_INVALID
 * when a field is missing or ill-typed. */
#pragma once

#include "build-service/build.h"
#include "build-service/commands.h"
#include "common/json/json.h"

/* A UUID in canonical form. */
int field_uuid(const cJSON *object, const char *key, char ret[UUID_TEXT_SIZE], struct error *err) MUST_CHECK;
int field_int(const cJSON *object, const char *key, int64_t min, int64_t max, int64_t *ret_value,
			  struct error *err) MUST_CHECK;
/* worker_id and incarnation. */
int field_addressee(const cJSON *object, struct addressee *ret_addressee, struct error *err) MUST_CHECK;
/* The same two, into an open object. */
void field_write_addressee(struct json_writer *w, const struct addressee *addressee);
/* A text of at most `max` bytes; NULL when it is absent or null. */
int field_optional_text(const cJSON *object, const char *key, size_t max, const char **ret_text,
						struct error *err) MUST_CHECK;
