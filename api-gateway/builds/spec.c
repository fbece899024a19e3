#include "api-gateway/builds/spec.h"

#include "common/base/compiler.h"
#include "common/model/metadata.h"

#define NAME(text)                                                                                                     \
	{                                                                                                                  \
		(text), sizeof(text) - 1                                                                                       \
	}

/* In the order of the fields. */
static const struct {
	const char *name;
	size_t len;
} names[] = {
	NAME("prompt"),          NAME("template"),          NAME("variables"), NAME("auto_commit"),
	NAME("auto_push"),       NAME("callback_url"),      NAME("agent"),     NAME("branch"),
	NAME("commit_message"),  NAME("priority"),          NAME("labels"),    NAME("timeout_s"),
	NAME("queue_timeout_s"), NAME("max_attempts"),      NAME("artifacts"), NAME("metadata"),
	NAME("continue_from"),   NAME("wait_for_pipeline"), NAME("on_red"),
};
_Static_assert(ARRAY_LEN(names) == SPEC_FIELDS, "one name a field");

void spec_find(const cJSON *body, struct spec *ret)
{
	*ret = (struct spec){0};
	if (!cJSON_IsObject(body))
		return;
	for (const cJSON *member = body->child; member != NULL; member = member->next) {
		if (cJSON_IsNull(member))
			continue;
		size_t len = strlen(member->string);
		for (size_t i = 0; i < SPEC_FIELDS; i++) {
			if (names[i].len == len && memcmp(names[i].name, member->string, len) == 0) {
				ret->at[i] = member;
				break;
			}
		}
	}
}

const char *spec_name(enum spec_field field)
{
	return names[field].name;
}

const char *spec_text(const struct spec *spec, enum spec_field field)
{
	return cJSON_GetStringValue(spec->at[field]);
}

bool spec_flag(const struct spec *spec, enum spec_field field)
{
	return cJSON_IsTrue(spec->at[field]);
}

int64_t spec_int(const struct spec *spec, enum spec_field field, int64_t fallback)
{
	const cJSON *member = spec->at[field];
	double value = cJSON_IsNumber(member) ? member->valuedouble : 0.5;
	bool whole = value >= -9007199254740992.0 && value <= 9007199254740992.0 && value == (double)(int64_t)value;
	return whole ? (int64_t)value : fallback;
}

void spec_check_metadata(const cJSON *metadata, struct schema_problems *problems)
{
	CLEANUP(buffer_release_p) struct buffer text;
	buffer_init(&text, METADATA_MAX_BYTES);
	if (cJSON_GetArraySize(metadata) > METADATA_MAX_ENTRIES)
		schema_problem_add(problems, "/metadata", "too_many", "there may be %d entries", METADATA_MAX_ENTRIES);
	else if (metadata != NULL && json_canonical(&text, metadata) < 0)
		schema_problem_add(problems, "/metadata", "too_long", "has more than %d bytes in all", METADATA_MAX_BYTES);
}
