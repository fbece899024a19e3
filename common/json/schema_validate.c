#include "common/base/alloc.h"
#include "common/base/utf8.h"
#include "common/json/json_internal.h"
#include "common/json/schema_internal.h"

#define QUOTE_BYTES 64
#define LIST_BYTES 256 /* of an enum's values in a detail */

/* Where a value is: links on the stack, made into a pointer only for a problem. */
struct path {
	const struct path *parent;
	const char *key; /* NULL: an index */
	size_t index;
};

/* Without `problems` it is a trial: the first problem ends it. */
struct run {
	struct schema_problems *problems;
	bool failed, stop;
	bool in_key; /* propertyNames: the value is a key */
};

static void check(struct run *run, const struct schema *s, const cJSON *value, const struct path *path);

static void append_path(struct buffer *buf, const struct path *path)
{
	if (path == NULL)
		return;
	append_path(buf, path->parent);
	(void)buffer_append_char(buf, '/'); /* the maximum is far larger than a document of 32 levels can need */
	if (path->key == NULL) {
		(void)buffer_appendf(buf, "%zu", path->index);
		return;
	}
	for (const char *c = path->key; *c != '\0'; c++) {
		if (*c == '~' || *c == '/')
			(void)buffer_append_str(buf, *c == '~' ? "~0" : "~1");
		else
			(void)buffer_append_char(buf, *c);
	}
}

static void problem(struct run *run, const struct path *path, const char *code, const char *format, ...)
	PRINTF_LIKE(4, 5);

static void problem(struct run *run, const struct path *path, const char *code, const char *format, ...)
{
	run->failed = true;
	if (run->problems == NULL || run->problems->len == SCHEMA_MAX_PROBLEMS) {
		if (run->problems != NULL)
			run->problems->truncated = true;
		run->stop = true;
		return;
	}
	CLEANUP(buffer_release_p) struct buffer pointer;
	buffer_init(&pointer, 64 << 20);
	append_path(&pointer, path);
	va_list args;
	va_start(args, format);
	CLEANUP(free_p) char *detail = xvasprintf(format, args);
	va_end(args);
	schema_problem_add(run->problems, pointer.data, code, "%s%s", run->in_key ? "the key " : "", detail);
}

/* A text of the input for a detail: at most QUOTE_BYTES of it. */
struct quote {
	char text[QUOTE_BYTES + 8];
};

static const char *quote_text(const char *text, struct quote *ret)
{
	size_t len = strlen(text), cut = utf8_cut(text, len, QUOTE_BYTES);
	(void)snprintf(ret->text, sizeof(ret->text), "\"%.*s\"%s", (int)cut, text, cut < len ? "…" : "");
	return ret->text;
}

static const char *quote_value(const cJSON *value, struct quote *ret)
{
	if (cJSON_IsString(value))
		return quote_text(value->valuestring, ret);
	if (cJSON_IsNumber(value)) {
		char number[JSON_NUMBER_SIZE];
		(void)json_format_double(value->valuedouble, number);
		(void)snprintf(ret->text, sizeof(ret->text), "%s", number);
		return ret->text;
	}
	return cJSON_IsTrue(value) ? "true" : cJSON_IsFalse(value) ? "false" : schema_type_name(schema_type_of(value));
}

static void check_type(struct run *run, const struct schema *s, unsigned type, const struct path *path)
{
	char names[128] = "";
	for (unsigned bit = TYPE_NULL; bit <= TYPE_OBJECT; bit <<= 1) {
		bool listed = (s->types & bit) != 0 && !(bit == TYPE_INTEGER && (s->types & TYPE_NUMBER) != 0);
		size_t used = strlen(names);
		if (listed)
			(void)snprintf(names + used, sizeof(names) - used, "%s%s", used > 0 ? " or " : "", schema_type_name(bit));
	}
	problem(run, path, "type", "must be %s, is %s", names, schema_type_name(type));
}

static void check_enum(struct run *run, const cJSON *allowed, const cJSON *value, const struct path *path)
{
	for (const cJSON *item = allowed->child; item != NULL; item = item->next) {
		if (schema_values_equal(item, value))
			return;
	}
	if (run->problems == NULL) {
		problem(run, path, "enum", "trial");
		return;
	}
	struct quote quote;
	CLEANUP(buffer_release_p) struct buffer list;
	buffer_init(&list, LIST_BYTES);
	for (const cJSON *item = allowed->child; item != NULL; item = item->next)
		(void)buffer_appendf(&list, "%s%s", list.len > 0 ? ", " : "", quote_value(item, &quote));
	problem(run, path, "enum", "%s is not one of %s%s", quote_value(value, &quote), list.data,
			buffer_ok(&list) ? "" : ", …");
}

static size_t count_code_points(const char *text, size_t len)
{
	size_t count = 0;
	for (size_t i = 0; i < len; i++)
		count += ((unsigned char)text[i] & 0xC0) != 0x80;
	return count;
}

static void check_length(struct run *run, const struct schema *s, const char *text, size_t len, const struct path *path)
{
	if ((s->rules & RULE_MAX_BYTES) != 0 && len > s->max_bytes)
		problem(run, path, "too_long", "has %zu bytes, at most %zu are allowed", len, s->max_bytes);
	if ((s->rules & RULE_MIN_BYTES) != 0 && len < s->min_bytes)
		problem(run, path, "too_short", "has %zu bytes, at least %zu are required", len, s->min_bytes);
	/* Code points are no more than bytes, so most texts need no count. */
	bool may_be_long = (s->rules & RULE_MAX_LENGTH) != 0 && len > s->max_length;
	bool may_be_short = (s->rules & RULE_MIN_LENGTH) != 0 && len / 4 < s->min_length;
	if (!may_be_long && !may_be_short)
		return;
	size_t count = count_code_points(text, len);
	if (may_be_long && count > s->max_length)
		problem(run, path, "too_long", "has %zu characters, at most %zu are allowed", count, s->max_length);
	if (may_be_short && count < s->min_length)
		problem(run, path, "too_short", "has %zu characters, at least %zu are required", count, s->min_length);
}

static void check_string(struct run *run, const struct schema *s, const char *text, const struct path *path)
{
	size_t len = strlen(text), problems = run->problems != NULL ? run->problems->len : 0;
	struct quote quote;
	check_length(run, s, text, len, path);
	if (run->stop || (run->problems != NULL && run->problems->len > problems))
		return; /* of a text of the wrong length nothing else is worth saying */
	if (s->format != FORMAT_NONE && !schema_format_matches(s->format, text, len)) {
		static const char *const names[] = {[FORMAT_UUID] = "a UUID in lower case",
											[FORMAT_DATE_TIME] = "an RFC 3339 date and time",
											[FORMAT_URI] = "an absolute URI"};
		problem(run, path, "format", "%s is not %s", quote_text(text, &quote), names[s->format]);
		return; /* that says it better than a pattern */
	}
	if (s->pattern != NULL && !pattern_matches(s->pattern, text, len))
		problem(run, path, "pattern", "%s %s %s", quote_text(text, &quote),
				s->says != NULL ? "is not" : "does not match", s->says != NULL ? s->says : s->pattern_text);
}

static void check_number(struct run *run, const struct schema *s, double value, const struct path *path)
{
	char given[JSON_NUMBER_SIZE], limit[JSON_NUMBER_SIZE];
	bool low = (s->rules & RULE_MINIMUM) != 0 && value < s->minimum;
	bool high = (s->rules & RULE_MAXIMUM) != 0 && value > s->maximum;
	if (!low && !high)
		return;
	(void)json_format_double(value, given);
	(void)json_format_double(low ? s->minimum : s->maximum, limit);
	problem(run, path, low ? "minimum" : "maximum", "%s is %s than %s", given, low ? "less" : "more", limit);
}

static void check_count(struct run *run, const struct schema *s, size_t count, bool items, const struct path *path)
{
	unsigned min_rule = items ? RULE_MIN_ITEMS : RULE_MIN_PROPERTIES;
	unsigned max_rule = items ? RULE_MAX_ITEMS : RULE_MAX_PROPERTIES;
	size_t min = items ? s->min_items : s->min_properties, max = items ? s->max_items : s->max_properties;
	const char *what = items ? "items" : "members";
	if ((s->rules & min_rule) != 0 && count < min)
		problem(run, path, "too_few", "has %zu %s, at least %zu are required", count, what, min);
	if ((s->rules & max_rule) != 0 && count > max)
		problem(run, path, "too_many", "has %zu %s, at most %zu are allowed", count, what, max);
}

static void check_array(struct run *run, const struct schema *s, const cJSON *array, const struct path *path)
{
	if ((s->rules & (RULE_MIN_ITEMS | RULE_MAX_ITEMS)) != 0)
		check_count(run, s, (size_t)cJSON_GetArraySize(array), true, path);
	struct path at = {.parent = path};
	for (const cJSON *item = array->child; item != NULL && s->items != NULL && !run->stop; item = item->next) {
		check(run, s->items, item, &at);
		at.index++;
	}
	if (s->unique_items && !run->stop && !schema_items_are_unique(array))
		problem(run, path, "not_unique", "has an item twice");
}

/* The property of that name, or properties_len. Clients often keep the schema's order: the search begins behind the
 * last hit. */
static size_t find_property(const struct schema *s, const char *name, size_t start)
{
	for (size_t i = start; i < s->properties_len; i++) {
		if (s->properties[i].name[0] == name[0] && strcmp(s->properties[i].name, name) == 0)
			return i;
	}
	for (size_t i = 0; i < start && i < s->properties_len; i++) {
		if (s->properties[i].name[0] == name[0] && strcmp(s->properties[i].name, name) == 0)
			return i;
	}
	return s->properties_len;
}

static void check_name(struct run *run, const struct schema *s, const cJSON *member, const struct path *path)
{
	cJSON name = {.type = cJSON_String, .valuestring = member->string};
	bool outer = run->in_key;
	run->in_key = true;
	check(run, s->property_names, &name, path);
	run->in_key = outer;
}

static void check_member(struct run *run, const struct schema *s, size_t index, const cJSON *member,
						 const struct path *path)
{
	if (s->property_names != NULL)
		check_name(run, s, member, path);
	const struct schema_property *known = index < s->properties_len ? &s->properties[index] : NULL;
	if (known != NULL && known->schema != NULL) {
		check(run, known->schema, member, path);
	} else if (s->additional != NULL && s->additional->never) {
		struct quote quote;
		problem(run, path, "unknown_field", "%s is not a known field", quote_text(member->string, &quote));
	} else if (s->additional != NULL) {
		check(run, s->additional, member, path);
	}
}

static void check_canonical_bytes(struct run *run, const struct schema *s, const cJSON *object, const struct path *path)
{
	CLEANUP(buffer_release_p) struct buffer text;
	buffer_init(&text, s->max_canonical_bytes);
	if (json_canonical(&text, object) < 0)
		problem(run, path, "too_long", "has more than %zu bytes in all", s->max_canonical_bytes);
}

static void check_object(struct run *run, const struct schema *s, const cJSON *object, const struct path *path)
{
	uint64_t seen[SCHEMA_MAX_PROPERTIES / 64] = {0};
	size_t count = 0, next = 0, problems = run->problems != NULL ? run->problems->len : 0;
	struct path at = {.parent = path};
	for (const cJSON *member = object->child; member != NULL && !run->stop; member = member->next) {
		size_t index = find_property(s, member->string, next);
		if (index < s->properties_len) {
			seen[index / 64] |= UINT64_C(1) << (index % 64);
			next = index + 1;
		}
		at.key = member->string;
		check_member(run, s, index, member, &at);
		count++;
	}
	for (size_t i = 0; i < s->properties_len && !run->stop; i++) {
		if (!s->properties[i].required || (seen[i / 64] >> (i % 64) & 1) != 0)
			continue;
		at.key = s->properties[i].name;
		problem(run, &at, "required", "\"%s\" is required", s->properties[i].name);
	}
	if (!run->stop)
		check_count(run, s, count, false, path);
	/* Of one that has another problem its size is not worth saying. */
	bool is_sound = run->problems != NULL ? run->problems->len == problems : !run->failed;
	if (!run->stop && is_sound && (s->rules & RULE_MAX_CANONICAL_BYTES) != 0)
		check_canonical_bytes(run, s, object, path);
}

static bool passes(const struct schema *s, const cJSON *value)
{
	struct run trial = {0};
	check(&trial, s, value, NULL);
	return !trial.failed;
}

/* Could this have been meant? The type fits, and members that the alternative holds constant have that value. */
static bool is_meant(const struct schema *s, const cJSON *value)
{
	while (s->ref != NULL && s->types == 0 && s->properties_len == 0)
		s = s->ref;
	if (s->never || (s->types != 0 && (s->types & schema_type_of(value)) == 0))
		return false;
	for (size_t i = 0; i < s->properties_len; i++) {
		const struct schema *rule = s->properties[i].schema;
		const cJSON *member = rule != NULL && rule->constant != NULL ? json_get(value, s->properties[i].name) : NULL;
		if (member != NULL && !schema_values_equal(member, rule->constant))
			return false;
	}
	return true;
}

/* None fits: the problems of the one that was meant, if that can be told; else one that says so. */
static void explain_choice(struct run *run, const struct schema_list *list, const char *code, const cJSON *value,
						   const struct path *path)
{
	const struct schema *meant = NULL;
	size_t count = 0;
	/* Not in a trial: looking again at each level would double the work with each. */
	for (size_t i = 0; i < list->len && run->problems != NULL; i++) {
		if (is_meant(list->items[i], value)) {
			meant = list->items[i];
			count++;
		}
	}
	if (count == 1)
		check(run, meant, value, path);
	else
		problem(run, path, code, "fits none of the %zu allowed forms", list->len);
}

static void check_any_of(struct run *run, const struct schema *s, const cJSON *value, const struct path *path)
{
	for (size_t i = 0; i < s->any_of.len; i++) {
		if (passes(s->any_of.items[i], value))
			return;
	}
	explain_choice(run, &s->any_of, "any_of", value, path);
}

static void check_one_of(struct run *run, const struct schema *s, const cJSON *value, const struct path *path)
{
	size_t count = 0;
	for (size_t i = 0; i < s->one_of.len && count < 2; i++)
		count += passes(s->one_of.items[i], value);
	if (count == 0)
		explain_choice(run, &s->one_of, "one_of", value, path);
	else if (count > 1)
		problem(run, path, "one_of", "fits more than one of the allowed forms");
}

static void check_combined(struct run *run, const struct schema *s, const cJSON *value, const struct path *path)
{
	if (s->ref != NULL)
		check(run, s->ref, value, path);
	for (size_t i = 0; i < s->all_of.len && !run->stop; i++)
		check(run, s->all_of.items[i], value, path);
	if (s->any_of.len > 0 && !run->stop)
		check_any_of(run, s, value, path);
	if (s->one_of.len > 0 && !run->stop)
		check_one_of(run, s, value, path);
}

static void check(struct run *run, const struct schema *s, const cJSON *value, const struct path *path)
{
	struct quote quote;
	if (run->stop)
		return;
	if (s->never) {
		problem(run, path, "forbidden", "is not allowed here");
		return;
	}
	unsigned type = schema_type_of(value);
	if (s->types != 0 && (s->types & type) == 0) {
		check_type(run, s, type, path);
		return; /* the other rules are for another type */
	}
	if (s->constant != NULL && !schema_values_equal(s->constant, value))
		problem(run, path, "const", "must be %s", quote_value(s->constant, &quote));
	if (s->enumeration != NULL)
		check_enum(run, s->enumeration, value, path);
	if (type == TYPE_STRING)
		check_string(run, s, value->valuestring, path);
	else if (type == TYPE_INTEGER || type == TYPE_NUMBER)
		check_number(run, s, value->valuedouble, path);
	else if (type == TYPE_OBJECT)
		check_object(run, s, value, path);
	else if (type == TYPE_ARRAY)
		check_array(run, s, value, path);
	check_combined(run, s, value, path);
}

bool schema_validate(const struct schema *schema, const cJSON *document, struct schema_problems *problems)
{
	struct run run = {.problems = problems};
	check(&run, schema, document, NULL);
	return problems->len == 0 && !problems->truncated;
}
