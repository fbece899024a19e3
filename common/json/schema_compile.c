/* From the JSON of a schema to struct schema, one function a keyword. */
#include "common/base/alloc.h"
#include "common/base/str.h"
#include "common/json/schema_internal.h"

#include <math.h>

struct compiler {
	struct schema_set *set;
	size_t file;
	struct error *err;
};

static struct schema *compile(struct compiler *c, const cJSON *source);

static int fail(struct compiler *c, const cJSON *value, const char *what)
{
	return error_set(c->err, ERR_INVALID, "%s: %s", value->string != NULL ? value->string : "item", what);
}

static int set_types(struct compiler *c, struct schema *schema, const cJSON *value)
{
	static const struct {
		const char *name;
		unsigned types;
	} known[] = {
		{"null", TYPE_NULL},       {"boolean", TYPE_BOOLEAN},
		{"integer", TYPE_INTEGER}, {"number", TYPE_NUMBER | TYPE_INTEGER},
		{"string", TYPE_STRING},   {"array", TYPE_ARRAY},
		{"object", TYPE_OBJECT},
	};
	bool list = cJSON_IsArray(value) != 0;
	if (list && cJSON_GetArraySize(value) == 0)
		return fail(c, value, "an empty list");
	for (const cJSON *item = list ? value->child : value; item != NULL; item = list ? item->next : NULL) {
		size_t i = 0;
		while (i < ARRAY_LEN(known) && !str_equal(cJSON_GetStringValue(item), known[i].name))
			i++;
		if (i == ARRAY_LEN(known))
			return fail(c, value, "unknown type");
		schema->types |= known[i].types;
	}
	return 0;
}

static int set_number(struct compiler *c, struct schema *schema, const cJSON *value, enum schema_rule rule,
					  double *field)
{
	if (!cJSON_IsNumber(value))
		return fail(c, value, "a number is expected");
	*field = value->valuedouble;
	schema->rules |= rule;
	return 0;
}

static int set_size(struct compiler *c, struct schema *schema, const cJSON *value, enum schema_rule rule, size_t *field)
{
	if (!cJSON_IsNumber(value) || value->valuedouble < 0 || value->valuedouble > 9007199254740992.0 ||
		value->valuedouble != trunc(value->valuedouble))
		return fail(c, value, "a whole number is expected");
	*field = (size_t)value->valuedouble;
	schema->rules |= rule;
	return 0;
}

static int set_child(struct compiler *c, const cJSON *value, struct schema **field)
{
	*field = compile(c, value);
	return *field != NULL ? 0 : error_prefix(c->err, "%s", value->string);
}

static int set_list(struct compiler *c, const cJSON *value, struct schema_list *list)
{
	int count = cJSON_IsArray(value) ? cJSON_GetArraySize(value) : 0;
	if (count == 0)
		return fail(c, value, "a list of schemas is expected");
	list->items = xcalloc((size_t)count, sizeof(struct schema *));
	for (const cJSON *item = value->child; item != NULL; item = item->next) {
		struct schema *child = compile(c, item);
		if (child == NULL)
			return error_prefix(c->err, "%s/%zu", value->string, list->len);
		list->items[list->len++] = child;
	}
	return 0;
}

static struct schema_property *property(struct schema *schema, const char *name)
{
	for (size_t i = 0; i < schema->properties_len; i++) {
		if (str_equal(schema->properties[i].name, name))
			return &schema->properties[i];
	}
	schema->properties = xreallocarray(schema->properties, schema->properties_len + 1, sizeof(*schema->properties));
	struct schema_property *added = &schema->properties[schema->properties_len++];
	*added = (struct schema_property){.name = name};
	return added;
}

static int set_properties(struct compiler *c, struct schema *schema, const cJSON *value)
{
	if (!cJSON_IsObject(value))
		return fail(c, value, "an object is expected");
	for (const cJSON *item = value->child; item != NULL; item = item->next) {
		struct schema *child = compile(c, item);
		if (child == NULL)
			return error_prefix(c->err, "properties/%s", item->string);
		property(schema, item->string)->schema = child;
	}
	return 0;
}

static int set_required(struct compiler *c, struct schema *schema, const cJSON *value)
{
	if (!cJSON_IsArray(value))
		return fail(c, value, "a list of names is expected");
	for (const cJSON *item = value->child; item != NULL; item = item->next) {
		if (!cJSON_IsString(item))
			return fail(c, value, "a list of names is expected");
		property(schema, item->valuestring)->required = true;
	}
	return 0;
}

static int set_pattern(struct compiler *c, struct schema *schema, const cJSON *value)
{
	if (!cJSON_IsString(value))
		return fail(c, value, "a string is expected");
	schema->pattern_text = value->valuestring;
	return pattern_new(value->valuestring, &schema->pattern, c->err);
}

static int set_says(struct compiler *c, struct schema *schema, const cJSON *value)
{
	if (!cJSON_IsString(value))
		return fail(c, value, "a string is expected");
	schema->says = value->valuestring;
	return 0;
}

static int set_format(struct compiler *c, struct schema *schema, const cJSON *value)
{
	if (!cJSON_IsString(value) || !schema_format_find(value->valuestring, &schema->format))
		return fail(c, value, "only uuid, date-time and uri are checked");
	return 0;
}

static int set_enum(struct compiler *c, struct schema *schema, const cJSON *value)
{
	if (!cJSON_IsArray(value) || value->child == NULL)
		return fail(c, value, "a list of values is expected");
	schema->enumeration = value;
	return 0;
}

static int set_unique(struct compiler *c, struct schema *schema, const cJSON *value)
{
	if (!cJSON_IsBool(value))
		return fail(c, value, "true or false is expected");
	schema->unique_items = cJSON_IsTrue(value) != 0;
	return 0;
}

static int set_ref(struct compiler *c, struct schema *schema, const cJSON *value)
{
	if (!cJSON_IsString(value))
		return fail(c, value, "a string is expected");
	schema->ref_text = value->valuestring;
	return 0;
}

static int set_definitions(struct compiler *c, const struct schema *schema, const cJSON *value)
{
	struct schema_loaded_file *file = &c->set->files[c->file];
	if (schema != file->root)
		return fail(c, value, "only at the top of a file");
	if (!cJSON_IsObject(value))
		return fail(c, value, "an object is expected");
	file->definitions = xcalloc((size_t)cJSON_GetArraySize(value), sizeof(*file->definitions));
	for (const cJSON *item = value->child; item != NULL; item = item->next) {
		struct schema *child = compile(c, item);
		if (child == NULL)
			return error_prefix(c->err, "$defs/%s", item->string);
		file->definitions[file->definitions_len++] = (struct schema_definition){item->string, child};
	}
	return 0;
}

static bool is_annotation(const char *keyword)
{
	static const char *const names[] = {"title",    "description", "$id",     "$schema",
										"$comment", "examples",    "default", "deprecated"};
	size_t i = 0;
	while (i < ARRAY_LEN(names) && !str_equal(names[i], keyword))
		i++;
	return i < ARRAY_LEN(names) || str_starts(keyword, "x-");
}

static int set_keyword(struct compiler *c, struct schema *s, const cJSON *value)
{
	const struct {
		const char *name;
		enum schema_rule rule;
		size_t *field;
	} sizes[] = {
		{"minLength", RULE_MIN_LENGTH, &s->min_length},
		{"maxLength", RULE_MAX_LENGTH, &s->max_length},
		{"x-min-bytes", RULE_MIN_BYTES, &s->min_bytes},
		{"x-max-bytes", RULE_MAX_BYTES, &s->max_bytes},
		{"x-max-canonical-bytes", RULE_MAX_CANONICAL_BYTES, &s->max_canonical_bytes},
		{"minItems", RULE_MIN_ITEMS, &s->min_items},
		{"maxItems", RULE_MAX_ITEMS, &s->max_items},
		{"minProperties", RULE_MIN_PROPERTIES, &s->min_properties},
		{"maxProperties", RULE_MAX_PROPERTIES, &s->max_properties},
	};
	static const struct {
		const char *name;
		int (*set)(struct compiler *c, struct schema *schema, const cJSON *value);
	} setters[] = {
		{"type", set_types},         {"properties", set_properties},
		{"required", set_required},  {"pattern", set_pattern},
		{"format", set_format},      {"enum", set_enum},
		{"uniqueItems", set_unique}, {"$ref", set_ref},
		{"x-says", set_says},
	};
	const char *keyword = value->string;
	for (size_t i = 0; i < ARRAY_LEN(sizes); i++) {
		if (str_equal(keyword, sizes[i].name))
			return set_size(c, s, value, sizes[i].rule, sizes[i].field);
	}
	for (size_t i = 0; i < ARRAY_LEN(setters); i++) {
		if (str_equal(keyword, setters[i].name))
			return setters[i].set(c, s, value);
	}
	const struct {
		const char *name;
		struct schema **field;
	} children[] = {
		{"additionalProperties", &s->additional}, {"propertyNames", &s->property_names}, {"items", &s->items}};
	for (size_t i = 0; i < ARRAY_LEN(children); i++) {
		if (str_equal(keyword, children[i].name))
			return set_child(c, value, children[i].field);
	}
	const struct {
		const char *name;
		struct schema_list *field;
	} lists[] = {{"oneOf", &s->one_of}, {"anyOf", &s->any_of}, {"allOf", &s->all_of}};
	for (size_t i = 0; i < ARRAY_LEN(lists); i++) {
		if (str_equal(keyword, lists[i].name))
			return set_list(c, value, lists[i].field);
	}
	if (str_equal(keyword, "minimum"))
		return set_number(c, s, value, RULE_MINIMUM, &s->minimum);
	if (str_equal(keyword, "maximum"))
		return set_number(c, s, value, RULE_MAXIMUM, &s->maximum);
	if (str_equal(keyword, "$defs"))
		return set_definitions(c, s, value);
	if (str_equal(keyword, "const")) {
		s->constant = value;
		return 0;
	}
	return is_annotation(keyword) ? 0 : fail(c, value, "unknown keyword: nothing would check it");
}

/* NULL with the error set, on failure. What was made belongs to the set either way. */
static struct schema *compile(struct compiler *c, const cJSON *source)
{
	struct schema *schema = xcalloc(1, sizeof(*schema));
	schema->next_in_set = c->set->all;
	c->set->all = schema;
	schema->file = c->file;
	struct schema_loaded_file *file = &c->set->files[c->file];
	if (file->root == NULL)
		file->root = schema;
	if (cJSON_IsBool(source)) {
		schema->never = cJSON_IsFalse(source) != 0;
		return schema;
	}
	if (!cJSON_IsObject(source)) {
		(void)error_set(c->err, ERR_INVALID, "a schema is an object or a boolean");
		return NULL;
	}
	for (const cJSON *value = source->child; value != NULL; value = value->next) {
		if (set_keyword(c, schema, value) < 0)
			return NULL;
	}
	if (schema->properties_len > SCHEMA_MAX_PROPERTIES) {
		(void)error_set(c->err, ERR_LIMIT, "more than %d properties", SCHEMA_MAX_PROPERTIES);
		return NULL;
	}
	return schema;
}

int schema_compile_file(struct schema_set *set, size_t file, struct error *err)
{
	struct compiler c = {set, file, err};
	return compile(&c, set->files[file].tree) != NULL ? 0 : -1;
}
