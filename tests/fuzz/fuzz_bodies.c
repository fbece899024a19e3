/*
 * The validator on bodies of requests: the first byte chooses the schema, the rest is the body. A verdict does not
 * depend on how the body is written (blanks, escapes, order of members); every problem has a pointer that leads into
 * the body (to a missing member: to where it is missing), a code, and a sentence of bounded length; a build that is
 * accepted is one by a few rules that are written here again.
 */
#include "fuzz.h"

#include "common/json/json.h"
#include "common/json/schema.h"
#include "kiln_schemas.h"

/* In the order of their letters in the seeds. */
static const struct {
	char letter;
	const char *name;
} bodies[] = {
	{'b', "build-spec.json"},         {'c', "rest/create-and-build.json"}, {'p', "rest/project-create.json"},
	{'u', "rest/project-patch.json"}, {'t', "rest/template-create.json"},  {'k', "rest/token-create.json"},
};

static const struct schema *schema_of(uint8_t letter, bool *ret_is_build)
{
	static struct schema_set *set;
	struct error err = ERROR_INIT;
	if (set == NULL)
		CHECK(schema_set_load(kiln_schema_files, &set, &err) == 0);
	size_t chosen = letter % ARRAY_LEN(bodies);
	for (size_t i = 0; i < ARRAY_LEN(bodies); i++) {
		if (bodies[i].letter == (char)letter)
			chosen = i;
	}
	*ret_is_build = chosen == 0;
	const struct schema *schema = schema_find(set, bodies[chosen].name);
	CHECK(schema != NULL);
	return schema;
}

/* The value at an RFC 6901 pointer; *ret_parent tells that only its last member is missing. */
static const cJSON *resolve(const cJSON *value, const char *pointer, bool *ret_parent)
{
	*ret_parent = false;
	while (*pointer != '\0') {
		CHECK(*pointer == '/' && !*ret_parent);
		CLEANUP(buffer_release_p) struct buffer key;
		buffer_init(&key, strlen(pointer) + 1);
		for (pointer++; *pointer != '/' && *pointer != '\0'; pointer++) {
			char c = *pointer;
			if (c == '~') {
				pointer++;
				CHECK(*pointer == '0' || *pointer == '1');
				c = *pointer == '0' ? '~' : '/';
			}
			CHECK(buffer_append_char(&key, c) == 0);
		}
		const char *name = key.data;
		const cJSON *next =
			cJSON_IsArray(value) ? cJSON_GetArrayItem(value, (int)strtol(name, NULL, 10)) : json_get(value, name);
		*ret_parent = next == NULL && cJSON_IsObject(value);
		value = next;
	}
	return value;
}

static void check_problem(const struct schema_problem *problem, const cJSON *body)
{
	bool parent;
	const cJSON *at = resolve(body, problem->pointer, &parent);
	CHECK(str_equal(problem->code, "required") ? at == NULL && parent : at != NULL);
	CHECK(problem->code[0] != '\0' && problem->detail[0] != '\0');
	/* 64 bytes of the input, and of the schema what it shows: a pattern. */
	CHECK(strlen(problem->detail) < 1024 && str_is_utf8(problem->detail, strlen(problem->detail)));
	CHECK(str_is_utf8(problem->pointer, strlen(problem->pointer)));
}

static int compare_problems(const void *a, const void *b)
{
	const struct schema_problem *x = a, *y = b;
	int order = strcmp(x->pointer, y->pointer);
	order = order != 0 ? order : strcmp(x->code, y->code);
	return order != 0 ? order : strcmp(x->detail, y->detail);
}

static void check_same(const struct schema_problems *a, const struct schema_problems *b)
{
	CHECK(a->truncated == b->truncated && a->len == b->len);
	for (size_t i = 0; i < a->len; i++)
		CHECK(compare_problems(&a->items[i], &b->items[i]) == 0);
}

/* The same body, read from another text. */
static void validate_text(const struct schema *schema, const struct buffer *text, struct schema_problems *ret)
{
	CLEANUP(cJSON_Delete_p) cJSON *tree = NULL;
	struct error err = ERROR_INIT;
	CHECK(json_parse(text->data, text->len, &tree, &err) == 0);
	(void)schema_validate(schema, tree, ret); /* its problems are looked at */
}

static void check_stable(const struct schema *schema, const cJSON *body, size_t size, struct schema_problems *first)
{
	struct schema_problems problems = {0};
	CLEANUP(buffer_release_p) struct buffer text;
	buffer_init(&text, 6 * size + 64);
	struct json_writer w;
	json_writer_init(&w, &text);
	json_tree(&w, NULL, body);
	validate_text(schema, &text, &problems);
	check_same(first, &problems);
	schema_problems_release(&problems);

	/* Sorted members: the problems come in another order, and where there are too many, others are left out. */
	buffer_clear(&text);
	CHECK(json_canonical(&text, body) == 0);
	validate_text(schema, &text, &problems);
	if (!first->truncated) {
		qsort(first->items, first->len, sizeof(first->items[0]), compare_problems);
		qsort(problems.items, problems.len, sizeof(problems.items[0]), compare_problems);
		check_same(first, &problems);
	}
	schema_problems_release(&problems);
}

static bool is_whole(const cJSON *value, double least, double most)
{
	return value == NULL || (cJSON_IsNumber(value) && value->valuedouble >= least && value->valuedouble <= most &&
							 value->valuedouble == (double)(long long)value->valuedouble);
}

static bool is_flag(const cJSON *value)
{
	return value == NULL || cJSON_IsBool(value);
}

static bool is_text(const cJSON *value, size_t most)
{
	return value == NULL || cJSON_IsNull(value) || (cJSON_IsString(value) && strlen(value->valuestring) <= most);
}

/* What every accepted build is, field by field. */
static void check_build(const cJSON *body)
{
	static const char *const fields[] = {
		"prompt", "template",     "variables",       "auto_commit",   "auto_push",         "callback_url", "agent",
		"branch", "priority",     "commit_message",  "labels",        "timeout_s",         "artifacts",    "metadata",
		"on_red", "max_attempts", "queue_timeout_s", "continue_from", "wait_for_pipeline",
	};
	CHECK(cJSON_IsObject(body));
	for (const cJSON *member = body->child; member != NULL; member = member->next) {
		bool known = false;
		for (size_t i = 0; i < ARRAY_LEN(fields); i++)
			known = known || str_equal(fields[i], member->string);
		CHECK(known);
	}
	const char *prompt = json_get_string(body, "prompt");
	CHECK(prompt != NULL && prompt[0] != '\0' && strlen(prompt) <= 262144);
	CHECK(is_whole(json_get(body, "priority"), 0, 9));
	CHECK(is_whole(json_get(body, "timeout_s"), 1, 86400));
	CHECK(is_whole(json_get(body, "max_attempts"), 1, 10));
	CHECK(is_flag(json_get(body, "auto_commit")) && is_flag(json_get(body, "auto_push")));
	CHECK(is_text(json_get(body, "branch"), 200) && is_text(json_get(body, "callback_url"), 2048));
	const cJSON *labels = json_get(body, "labels");
	CHECK(labels == NULL || (cJSON_IsArray(labels) && cJSON_GetArraySize(labels) <= 32));
	const char *template = json_get_string(body, "template");
	size_t name_len = template != NULL ? strcspn(template, "@") : 0;
	CHECK(template == NULL || str_is_name(template, name_len));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	CLEANUP(cJSON_Delete_p) cJSON *body = NULL;
	struct error err = ERROR_INIT;
	if (size == 0 || json_parse((const char *)data + 1, size - 1, &body, &err) < 0)
		return 0;
	bool is_build;
	const struct schema *schema = schema_of(data[0], &is_build);
	struct schema_problems problems = {0};
	bool good = schema_validate(schema, body, &problems);
	CHECK(good == (problems.len == 0 && !problems.truncated) && problems.len <= SCHEMA_MAX_PROBLEMS);
	for (size_t i = 0; i < problems.len; i++)
		check_problem(&problems.items[i], body);
	if (good && is_build)
		check_build(body);
	check_stable(schema, body, size, &problems);
	schema_problems_release(&problems);
	return 0;
}
