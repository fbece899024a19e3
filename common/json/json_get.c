#include <string.h>

#include "common/base/ids.h"
#include "common/json/json.h"

#define MAX_SAFE_INTEGER 9007199254740992.0 /* 2^53 */

const cJSON *json_get(const cJSON *object, const char *key)
{
	return cJSON_IsObject(object) ? cJSON_GetObjectItemCaseSensitive(object, key) : NULL;
}

const char *json_get_string(const cJSON *object, const char *key)
{
	return cJSON_GetStringValue(json_get(object, key));
}

const char *json_get_uuid(const cJSON *object, const char *key)
{
	const char *text = json_get_string(object, key);
	return text != NULL && uuid_is_valid(text, strlen(text)) ? text : NULL;
}

int64_t json_get_int(const cJSON *object, const char *key, int64_t fallback)
{
	const cJSON *item = json_get(object, key);
	if (!cJSON_IsNumber(item))
		return fallback;
	double value = item->valuedouble;
	if (!(value >= -MAX_SAFE_INTEGER && value <= MAX_SAFE_INTEGER))
		return fallback;
	int64_t integer = (int64_t)value;
	return (double)integer == value ? integer : fallback;
}

bool json_get_bool(const cJSON *object, const char *key, bool fallback)
{
	const cJSON *item = json_get(object, key);
	return cJSON_IsBool(item) ? cJSON_IsTrue(item) != 0 : fallback;
}
