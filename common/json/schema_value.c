#include "common/base/alloc.h"
#include "common/json/json.h"
#include "common/json/schema_internal.h"

#include <math.h>

#define FEW_ITEMS 16

unsigned schema_type_of(const cJSON *value)
{
	if (cJSON_IsString(value))
		return TYPE_STRING;
	if (cJSON_IsObject(value))
		return TYPE_OBJECT;
	if (cJSON_IsArray(value))
		return TYPE_ARRAY;
	if (cJSON_IsBool(value))
		return TYPE_BOOLEAN;
	if (cJSON_IsNumber(value))
		return value->valuedouble == trunc(value->valuedouble) ? TYPE_INTEGER : TYPE_NUMBER;
	return TYPE_NULL;
}

const char *schema_type_name(unsigned type)
{
	switch (type) {
	case TYPE_NULL:
		return "null";
	case TYPE_BOOLEAN:
		return "a boolean";
	case TYPE_INTEGER:
		return "an integer";
	case TYPE_NUMBER:
		return "a number";
	case TYPE_STRING:
		return "a string";
	case TYPE_ARRAY:
		return "an array";
	case TYPE_OBJECT:
		return "an object";
	default:
		return "anything";
	}
}

static bool children_equal(const cJSON *a, const cJSON *b)
{
	size_t count = (size_t)cJSON_GetArraySize(a);
	if (count != (size_t)cJSON_GetArraySize(b))
		return false;
	const cJSON *other = b->child;
	for (const cJSON *item = a->child; item != NULL; item = item->next) {
		const cJSON *match = cJSON_IsObject(a) ? json_get(b, item->string) : other;
		if (match == NULL || !schema_values_equal(item, match))
			return false;
		other = other->next;
	}
	return true;
}

bool schema_values_equal(const cJSON *a, const cJSON *b)
{
	if (cJSON_IsNumber(a) && cJSON_IsNumber(b))
		return a->valuedouble == b->valuedouble; /* not cJSON_Compare: it allows for an epsilon */
	if (schema_type_of(a) != schema_type_of(b))
		return false;
	switch (schema_type_of(a)) {
	case TYPE_STRING:
		return strcmp(a->valuestring, b->valuestring) == 0;
	case TYPE_BOOLEAN:
		return cJSON_IsTrue(a) == cJSON_IsTrue(b);
	case TYPE_ARRAY:
	case TYPE_OBJECT:
		return children_equal(a, b);
	default:
		return true; /* null */
	}
}

static int compare_texts(const void *a, const void *b)
{
	char *const *x = a, *const *y = b;
	return strcmp(*x, *y);
}

/* By their canonical texts, sorted: many items, or large ones, must not be compared each with each. */
static bool many_are_unique(const cJSON *array, size_t count)
{
	char **texts = xreallocarray(NULL, count, sizeof(char *));
	size_t used = 0;
	for (const cJSON *item = array->child; item != NULL; item = item->next) {
		struct buffer text;
		buffer_init(&text, SIZE_MAX / 4);
		CHECK(json_canonical(&text, item) == 0); /* that maximum is not reached */
		texts[used++] = buffer_detach(&text, NULL);
	}
	qsort(texts, used, sizeof(char *), compare_texts);
	bool unique = true;
	for (size_t i = 0; i < used; i++) {
		if (i + 1 < used && strcmp(texts[i], texts[i + 1]) == 0)
			unique = false;
		free(texts[i]);
	}
	free(texts);
	return unique;
}

bool schema_items_are_unique(const cJSON *array)
{
	size_t count = 0;
	bool scalars = true;
	for (const cJSON *item = array->child; item != NULL; item = item->next) {
		count++;
		scalars = scalars && !cJSON_IsObject(item) && !cJSON_IsArray(item);
	}
	if (count < 2)
		return true;
	if (!scalars || count > FEW_ITEMS)
		return many_are_unique(array, count);
	for (const cJSON *item = array->child; item != NULL; item = item->next) {
		for (const cJSON *later = item->next; later != NULL; later = later->next) {
			if (schema_values_equal(item, later))
				return false;
		}
	}
	return true;
}
