#include "build-service/fields.h"

#include <string.h>

#define MAX_COUNTER ((int64_t)1 << 53)

int field_uuid(const cJSON *object, const char *key, char ret[UUID_TEXT_SIZE], struct error *err)
{
	const char *text = json_get_uuid(object, key);
	if (text == NULL)
		return error_set(err, ERR_INVALID, "%s: not a UUID", key);
	memcpy(ret, text, UUID_TEXT_SIZE);
	return 0;
}

int field_int(const cJSON *object, const char *key, int64_t min, int64_t max, int64_t *ret_value, struct error *err)
{
	int64_t value = json_get_int(object, key, min - 1);
	if (value < min || value > max)
		return error_set(err, ERR_INVALID, "%s: not an integer from %lld to %lld", key, (long long)min, (long long)max);
	*ret_value = value;
	return 0;
}

int field_addressee(const cJSON *object, struct addressee *ret_addressee, struct error *err)
{
	struct addressee addressee;
	const cJSON *incarnation = json_get(object, "incarnation");
	if (field_uuid(object, "worker_id", addressee.worker_id, err) < 0 ||
		field_int(incarnation, "counter", 1, MAX_COUNTER, &addressee.incarnation.counter, err) < 0 ||
		field_uuid(incarnation, "nonce", addressee.incarnation.nonce, err) < 0)
		return -1;
	*ret_addressee = addressee;
	return 0;
}

void field_write_addressee(struct json_writer *w, const struct addressee *addressee)
{
	json_string(w, "worker_id", addressee->worker_id);
	json_object_begin(w, "incarnation");
	json_int(w, "counter", addressee->incarnation.counter);
	json_string(w, "nonce", addressee->incarnation.nonce);
	json_object_end(w);
}

int field_optional_text(const cJSON *object, const char *key, size_t max, const char **ret_text, struct error *err)
{
	const cJSON *value = json_get(object, key);
	if (value == NULL || cJSON_IsNull(value)) {
		*ret_text = NULL;
		return 0;
	}
	if (!cJSON_IsString(value))
		return error_set(err, ERR_INVALID, "%s: not a string", key);
	if (strlen(value->valuestring) > max)
		return error_set(err, ERR_INVALID, "%s: longer than %zu bytes", key, max);
	*ret_text = value->valuestring;
	return 0;
}
