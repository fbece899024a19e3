#include "api-gateway/builds/template_render.h"

#include "common/base/compiler.h"
#include "common/base/map.h"
#include "common/base/str.h"

#define MAX_PLACEHOLDERS 1024 /* distinct names in one text */

static bool is_name_char(char c, bool first)
{
	return (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || c == '_' || (!first && c >= '0' && c <= '9');
}

/* Can a placeholder name it? */
static bool is_name(const char *name)
{
	size_t len = 0;
	while (is_name_char(name[len], len == 0))
		len++;
	return len > 0 && len <= TEMPLATE_NAME_MAX && name[len] == '\0';
}

bool template_is_version(const char *text, size_t len)
{
	const char *at = memchr(text, '@', len);
	int64_t version;
	struct error ignored = ERROR_INIT;
	return at != NULL && str_is_name(text, (size_t)(at - text)) && at[1] != '0' &&
		   str_parse_int(at + 1, (size_t)(text + len - at) - 1, 1, INT32_MAX, &version, &ignored) == 0;
}

static const char *skip_blanks(const char *at)
{
	while (*at == ' ' || *at == '\t')
		at++;
	return at;
}

bool template_next(const char *from, const char **ret_begin, const char **ret_end, char ret_name[TEMPLATE_NAME_MAX + 1])
{
	for (const char *begin = strstr(from, "{{"); begin != NULL; begin = strstr(begin + 1, "{{")) {
		const char *name = skip_blanks(begin + 2);
		size_t len = 0;
		while (is_name_char(name[len], len == 0))
			len++;
		if (len == 0 || len > TEMPLATE_NAME_MAX)
			continue;
		const char *end = skip_blanks(name + len);
		if (end[0] != '}' || end[1] != '}')
			continue;
		memcpy(ret_name, name, len);
		ret_name[len] = '\0';
		*ret_begin = begin;
		*ret_end = end + 2;
		return true;
	}
	return false;
}

static const char *value_of(const struct template_input *input, const char *name)
{
	const char *value = json_get_string(input->variables, name);
	return value != NULL ? value : json_get_string(input->defaults, name);
}

static void report_missing(const struct template_input *input, const char *name, struct map *seen,
						   struct schema_problems *problems)
{
	static char mark; /* any address that is not NULL */
	if (map_get_str(seen, name) != NULL || map_set(seen, name, strlen(name), &mark) < 0)
		return;
	char pointer[TEMPLATE_NAME_MAX + 32];
	(void)snprintf(pointer, sizeof(pointer), "%.31s/%s", input->pointer, name);
	if (!schema_problems_have(problems, pointer)) /* a value of another type is not missing as well */
		schema_problem_add(problems, pointer, "missing_variable", "the template needs the variable \"%s\"", name);
}

static bool text_names(const char *text, const char *wanted)
{
	const char *begin, *end = text;
	char name[TEMPLATE_NAME_MAX + 1];
	while (text != NULL && template_next(end, &begin, &end, name)) {
		if (strcmp(name, wanted) == 0)
			return true;
	}
	return false;
}

static void report_unknown(const struct template_input *input, struct schema_problems *problems)
{
	const cJSON *variable;
	cJSON_ArrayForEach(variable, input->variables)
	{
		const char *name = variable->string;
		bool known = input->text != NULL && strcmp(name, "prompt") != 0 &&
					 (json_get(input->defaults, name) != NULL || text_names(input->text, name));
		if (known || !is_name(name)) /* the schema says what is no name */
			continue;
		char pointer[128];
		(void)snprintf(pointer, sizeof(pointer), "%.31s/%.63s", input->pointer, name);
		if (schema_problems_have(problems, pointer))
			continue;
		schema_problem_add(problems, pointer, "unknown_variable",
						   input->text != NULL ? "the template has no variable \"%.63s\""
											   : "there is no template that takes the variable \"%.63s\"",
						   name);
	}
}

void template_render(const struct template_input *input, struct buffer *out, struct schema_problems *problems)
{
	if (input->variables != NULL)
		report_unknown(input, problems);
	if (input->text == NULL) {
		(void)buffer_append_str(out, input->prompt); /* the caller looks at buffer_ok */
		return;
	}
	CLEANUP(map_free_p) struct map *missing = map_new(MAX_PLACEHOLDERS, NULL);
	bool has_prompt = false;
	const char *at = input->text, *begin, *end;
	char name[TEMPLATE_NAME_MAX + 1];
	while (template_next(at, &begin, &end, name)) {
		(void)buffer_append(out, at, (size_t)(begin - at));
		bool is_prompt = strcmp(name, "prompt") == 0;
		const char *value = is_prompt ? input->prompt : value_of(input, name);
		has_prompt = has_prompt || is_prompt;
		if (value != NULL)
			(void)buffer_append_str(out, value);
		else
			report_missing(input, name, missing, problems);
		at = end;
	}
	(void)buffer_append_str(out, at);
	if (!has_prompt) {
		(void)buffer_append_str(out, "\n\n");
		(void)buffer_append_str(out, input->prompt);
	}
}
