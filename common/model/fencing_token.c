#include "common/model/fencing_token.h"

#include <string.h>

#include "common/base/str.h"

#define MAX_ATTEMPT 2000000000

int fencing_token_read(const cJSON *object, struct fencing_token *ret_token, struct error *err)
{
	const char *build_id = json_get_uuid(object, "build_id");
	int64_t attempt = json_get_int(object, "attempt", 0);
	const char *lease_id = json_get_uuid(object, "lease_id");
	if (build_id == NULL || lease_id == NULL)
		return error_set(err, ERR_INVALID, "%s: not a UUID", build_id == NULL ? "build_id" : "lease_id");
	if (attempt < 1 || attempt > MAX_ATTEMPT)
		return error_set(err, ERR_INVALID, "attempt: not an integer from 1 to %d", MAX_ATTEMPT);
	ret_token->attempt = (int32_t)attempt;
	memcpy(ret_token->build_id, build_id, UUID_TEXT_SIZE);
	memcpy(ret_token->lease_id, lease_id, UUID_TEXT_SIZE);
	return 0;
}

void fencing_token_write(struct json_writer *w, const struct fencing_token *token)
{
	json_string(w, "build_id", token->build_id);
	json_int(w, "attempt", token->attempt);
	json_string(w, "lease_id", token->lease_id);
}

bool fencing_token_equal(const struct fencing_token *a, const struct fencing_token *b)
{
	return a->attempt == b->attempt && str_equal(a->lease_id, b->lease_id) && str_equal(a->build_id, b->build_id);
}
