/*
 * A template is rendered as a second renderer does it, which tries at every character whether a placeholder begins
 * there. The text never passes its limit, and is whole exactly when it fits; every missing variable
 * is told once, and every unknown one that has a name.
 *
 * The input: the limit and a line end, then template, prompt, variables and defaults, each ended by a line "--";
 * variables and defaults are lines "name=value".
 */
#include "fuzz.h"

#include "api-gateway/builds/template_render.h"

/* Cuts the part off that ends before the next "\n--\n", or at the end. */
static char *next_part(char **rest)
{
	char *part = *rest, *stop = strstr(part, "\n--\n");
	if (stop == NULL) {
		*rest += strlen(*rest);
		return part;
	}
	*stop = '\0';
	*rest = stop + 4;
	return part;
}

/* NULL for an empty part: there are none. */
static cJSON *read_pairs(char *part)
{
	if (part[0] == '\0')
		return NULL;
	cJSON *pairs = cJSON_CreateObject();
	for (char *line = part, *next; line != NULL; line = next) {
		next = strchr(line, '\n');
		if (next != NULL)
			*next++ = '\0';
		char *equals = strchr(line, '=');
		if (equals == NULL)
			continue;
		*equals = '\0';
		if (json_get(pairs, line) == NULL)
			CHECK(cJSON_AddStringToObject(pairs, line, equals + 1) != NULL);
	}
	return pairs;
}

static bool is_blank(char c)
{
	return c == ' ' || c == '\t';
}

/* The length of the name that begins here, 0 when none does. */
static size_t name_at(const char *text)
{
	static const char first[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz_";
	static const char further[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz_0123456789";
	size_t len = strspn(text, further);
	return len > TEMPLATE_NAME_MAX || len == 0 || strchr(first, *text) == NULL ? 0 : len;
}

/* The length of the placeholder that begins here, 0 when none does. */
static size_t placeholder_at(const char *text, char ret_name[TEMPLATE_NAME_MAX + 1])
{
	const char *at = text;
	if (strncmp(at, "{{", 2) != 0)
		return 0;
	for (at += 2; is_blank(*at);)
		at++;
	size_t len = name_at(at);
	if (len == 0)
		return 0;
	memcpy(ret_name, at, len);
	ret_name[len] = '\0';
	for (at += len; is_blank(*at);)
		at++;
	return strncmp(at, "}}", 2) == 0 ? (size_t)(at + 2 - text) : 0;
}

static bool names_it(const char *names, const char *name)
{
	size_t len = strlen(name);
	for (const char *at = names; *at != '\0'; at = strchr(at, '\n') + 1) {
		if (strncmp(at, name, len) == 0 && at[len] == '\n')
			return true;
	}
	return false;
}

static void append(struct buffer *text, const char *more)
{
	CHECK(buffer_append(text, more, strlen(more)) == 0);
}

static size_t render(const struct template_input *input, struct buffer *text, struct buffer *missing,
					 struct buffer *named)
{
	char name[TEMPLATE_NAME_MAX + 1];
	size_t problems = 0;
	for (const char *at = input->text; *at != '\0';) {
		size_t len = placeholder_at(at, name);
		if (len == 0) {
			CHECK(buffer_append_char(text, *at++) == 0);
			continue;
		}
		at += len;
		const char *value = str_equal(name, "prompt") ? input->prompt : json_get_string(input->variables, name);
		if (value == NULL)
			value = json_get_string(input->defaults, name);
		CHECK(buffer_appendf(named, "%s\n", name) == 0);
		if (value != NULL)
			append(text, value);
		else if (!names_it(missing->data, name)) {
			CHECK(buffer_appendf(missing, "%s\n", name) == 0);
			problems++;
		}
	}
	if (!names_it(named->data, "prompt")) {
		append(text, "\n\n");
		append(text, input->prompt);
	}
	return problems;
}

static size_t count_unknown(const struct template_input *input, const char *named)
{
	size_t count = 0;
	for (const cJSON *variable = input->variables != NULL ? input->variables->child : NULL; variable != NULL;
		 variable = variable->next) {
		bool known = input->text != NULL && !str_equal(variable->string, "prompt") &&
					 (json_get(input->defaults, variable->string) != NULL || names_it(named, variable->string));
		size_t len = name_at(variable->string);
		count += known || len == 0 || variable->string[len] != '\0' ? 0 : 1;
	}
	return count;
}

static void check_rendering(const struct template_input *input, size_t size, size_t limit)
{
	CLEANUP(buffer_release_p) struct buffer out;
	CLEANUP(buffer_release_p) struct buffer wanted;
	CLEANUP(buffer_release_p) struct buffer missing;
	CLEANUP(buffer_release_p) struct buffer named;
	struct schema_problems problems = {0};
	buffer_init(&out, limit);
	buffer_init(&wanted, size * size + 64); /* a placeholder of five bytes may stand for all the rest */
	buffer_init(&missing, size + 64);
	buffer_init(&named, size + 64);
	template_render(input, &out, &problems);

	size_t expected = 0;
	if (input->text != NULL)
		expected = render(input, &wanted, &missing, &named);
	else
		append(&wanted, input->prompt);
	expected += count_unknown(input, named.data);
	CHECK(problems.len == (expected < SCHEMA_MAX_PROBLEMS ? expected : SCHEMA_MAX_PROBLEMS));
	CHECK(problems.truncated == (expected > SCHEMA_MAX_PROBLEMS));
	for (size_t i = 0; i < problems.len; i++)
		CHECK(str_starts(problems.items[i].pointer, "/variables/") && problems.items[i].detail[0] != '\0');
	CHECK(out.len <= limit && buffer_ok(&out) == (wanted.len <= limit));
	if (buffer_ok(&out) && wanted.len > 0)
		CHECK(out.len == wanted.len && memcmp(out.data, wanted.data, out.len) == 0);
	schema_problems_release(&problems);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	CLEANUP(free_p) char *input = xcalloc(1, size + 1);
	if (size > 0)
		memcpy(input, data, size);
	char *rest;
	unsigned long limit = strtoul(input, &rest, 10) % 65536 + 1;
	rest += *rest == '\n' ? 1 : 0;
	char *text = next_part(&rest), *prompt = next_part(&rest);
	CLEANUP(cJSON_Delete_p) cJSON *variables = read_pairs(next_part(&rest));
	CLEANUP(cJSON_Delete_p) cJSON *defaults = read_pairs(next_part(&rest));
	struct template_input template = {
		.text = text, .prompt = prompt, .variables = variables, .defaults = defaults, .pointer = "/variables"};
	check_rendering(&template, size, limit);
	template.text = NULL;
	check_rendering(&template, size, limit);
	return 0;
}
