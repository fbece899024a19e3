#include "tests/unit/unit.h"

#include "api-gateway/builds/template_render.h"

static struct buffer out;
static struct schema_problems problems;

static int setup(void **state UNUSED)
{
	buffer_init(&out, 1024);
	problems = (struct schema_problems){0};
	return 0;
}

static int teardown(void **state UNUSED)
{
	buffer_release(&out);
	schema_problems_release(&problems);
	return 0;
}

static cJSON *parse(const char *text)
{
	cJSON *tree = NULL;
	struct error err = ERROR_INIT;
	if (text != NULL)
		assert_int_equal(json_parse(text, strlen(text), &tree, &err), 0);
	return tree;
}

static const char *render(const char *text, const char *defaults, const char *variables, const char *prompt)
{
	CLEANUP(cJSON_Delete_p) cJSON *default_tree = parse(defaults);
	CLEANUP(cJSON_Delete_p) cJSON *variable_tree = parse(variables);
	buffer_clear(&out);
	template_render(&(struct template_input){.text = text,
											 .defaults = default_tree,
											 .variables = variable_tree,
											 .prompt = prompt,
											 .pointer = "/variables"},
					&out, &problems);
	return out.data;
}

TEST(without_a_template_the_prompt_is_literal)
{
	assert_string_equal(render(NULL, NULL, NULL, "fix {{this}}"), "fix {{this}}");
	assert_int_equal(problems.len, 0);
}

TEST(variables_and_defaults_are_put_in)
{
	assert_string_equal(
		render("Do {{what}} in {{ lang }}: {{prompt}}!", "{\"lang\":\"C\"}", "{\"what\":\"it\"}", "now"),
		"Do it in C: now!");
	assert_string_equal(render("{{lang}}{{prompt}}", "{\"lang\":\"C\"}", "{\"lang\":\"Go\"}", ""), "Go");
	assert_int_equal(problems.len, 0);
}

TEST(a_prompt_that_is_not_named_follows_after_a_blank_line)
{
	assert_string_equal(render("Be nice.", NULL, NULL, "fix it"), "Be nice.\n\nfix it");
}

TEST(values_are_not_looked_into)
{
	assert_string_equal(render("{{a}} {{prompt}}", NULL, "{\"a\":\"{{b}}\"}", "{{a}}"), "{{b}} {{a}}");
	assert_int_equal(problems.len, 0);
}

TEST(every_missing_variable_is_named_once)
{
	(void)render("{{a}} {{b}} {{a}} {{c}}", "{\"c\":\"x\"}", NULL, "p");
	assert_int_equal(problems.len, 2);
	assert_string_equal(problems.items[0].pointer, "/variables/a");
	assert_string_equal(problems.items[0].code, "missing_variable");
	assert_string_equal(problems.items[1].pointer, "/variables/b");
}

TEST(every_unknown_variable_is_named)
{
	(void)render("{{a}}", "{\"d\":\"x\"}", "{\"a\":\"1\",\"x\":\"2\",\"y\":\"3\",\"d\":\"4\"}", "p");
	assert_int_equal(problems.len, 2);
	assert_string_equal(problems.items[0].pointer, "/variables/x");
	assert_string_equal(problems.items[0].code, "unknown_variable");
	assert_string_equal(problems.items[1].pointer, "/variables/y");
}

TEST(missing_and_unknown_are_told_together)
{
	(void)render("{{a}}", NULL, "{\"b\":\"1\"}", "p");
	assert_int_equal(problems.len, 2);
}

TEST(the_prompt_is_no_variable)
{
	(void)render("{{prompt}}", NULL, "{\"prompt\":\"x\"}", "p");
	assert_int_equal(problems.len, 1);
	assert_string_equal(problems.items[0].code, "unknown_variable");
}

TEST(variables_without_a_template_are_unknown)
{
	(void)render(NULL, NULL, "{\"a\":\"1\"}", "p");
	assert_int_equal(problems.len, 1);
}

TEST(what_is_no_placeholder_is_text)
{
	static const char *const texts[] = {"{{}}", "{{ }}", "{{1a}}", "{{a b}}",          "{{a-b}}", "{{a}",
										"{a}}", "{{",    "}}",     "${{ secrets.X }}", "{{\na}}"};
	for (size_t i = 0; i < ARRAY_LEN(texts); i++) {
		char expected[64];
		(void)snprintf(expected, sizeof(expected), "%s\n\np", texts[i]);
		assert_string_equal(render(texts[i], NULL, NULL, "p"), expected);
	}
	assert_int_equal(problems.len, 0);
}

TEST(a_brace_more_does_not_hide_a_placeholder)
{
	assert_string_equal(render("{{{a}}} {{prompt}}", NULL, "{\"a\":\"1\"}", "p"), "{1} p");
}

TEST(a_name_has_up_to_63_characters)
{
	char text[80] = "{{";
	memset(text + 2, 'a', 63);
	memcpy(text + 65, "}}", 3);
	(void)render(text, NULL, NULL, "p");
	assert_int_equal(problems.len, 1);
	memcpy(text + 65, "a}}", 4);
	(void)render(text, NULL, NULL, "p");
	assert_int_equal(problems.len, 1); /* text now */
}

TEST(a_result_beyond_the_limit_is_seen)
{
	char text[600];
	memset(text, 'x', sizeof(text) - 1);
	text[sizeof(text) - 1] = '\0';
	(void)render("{{a}}{{a}}", NULL, NULL, text);
	CLEANUP(cJSON_Delete_p) cJSON *variables = cJSON_CreateObject();
	cJSON_AddStringToObject(variables, "a", text);
	buffer_clear(&out);
	template_render(
		&(struct template_input){.text = "{{a}}{{a}}", .variables = variables, .prompt = "", .pointer = "/variables"},
		&out, &problems);
	assert_false(buffer_ok(&out));
}

#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(without_a_template_the_prompt_is_literal),
		T(variables_and_defaults_are_put_in),
		T(a_prompt_that_is_not_named_follows_after_a_blank_line),
		T(values_are_not_looked_into),
		T(every_missing_variable_is_named_once),
		T(every_unknown_variable_is_named),
		T(missing_and_unknown_are_told_together),
		T(the_prompt_is_no_variable),
		T(variables_without_a_template_are_unknown),
		T(what_is_no_placeholder_is_text),
		T(a_brace_more_does_not_hide_a_placeholder),
		T(a_name_has_up_to_63_characters),
		T(a_result_beyond_the_limit_is_seen),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
