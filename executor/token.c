#include "executor/token.h"

#include "common/base/str.h"

#define MAX_ATTEMPT 2000000000

static int read_uuid(const cJSON *object, const char *key, char ret[UUID_TEXT_SIZE], struct error *err)
{
	const char *text = json_get_string(object, key);
	if (text == NULL || !uuid_is_valid(text, strlen(text)))
		return error_set(err, ERR_INVALID, "%s is no UUID", key);
	memcpy(ret, text, UUID_TEXT_SIZE);
	return 0;
}

int token_read(const cJSON *object, struct token *ret_token, struct error *err)
{
	struct token token = {.attempt = json_get_int(object, "attempt", 0)};
	if (token.attempt < 1 || token.attempt > MAX_ATTEMPT)
		return error_set(err, ERR_INVALID, "attempt is no number from 1 on");
	if (read_uuid(object, "build_id", token.build_id, err) < 0 ||
		read_uuid(object, "lease_id", token.lease_id, err) < 0)
		return -1;
	*ret_token = token;
	return 0;
}

void token_write(struct json_writer *w, const struct token *token)
{
	json_string(w, "build_id", token->build_id);
	json_int(w, "attempt", token->attempt);
	json_string(w, "lease_id", token->lease_id);
}

bool token_equal(const struct token *a, const struct token *b)
{
	return a->attempt == b->attempt && str_equal(a->build_id, b->build_id) && str_equal(a->lease_id, b->lease_id);
}
