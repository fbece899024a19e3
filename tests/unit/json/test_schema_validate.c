#include "tests/unit/unit.h"

#include "common/base/alloc.h"
#include "common/json/json.h"
#include "common/json/schema.h"

/* The problems as one text, "pointer code; …", which is what a claim compares. */
static char *problems_of(const char *schema_text, const char *document_text, bool details)
{
	const struct schema_file files[] = {{"s.json", schema_text, strlen(schema_text)}, {0}};
	struct error err = ERROR_INIT;
	struct schema_set *set = NULL;
	cJSON *document = NULL;
	if (schema_set_load(files, &set, &err) < 0 || json_parse(document_text, strlen(document_text), &document, &err) < 0)
		fail_msg("%s", err.message);
	struct schema_problems problems = {0};
	bool valid = schema_validate(schema_find(set, "s.json"), document, &problems);
	assert_int_equal(valid, problems.len == 0);
	struct buffer text;
	buffer_init(&text, 1 << 20);
	for (size_t i = 0; i < problems.len; i++)
		(void)buffer_appendf(&text, "%s%s %s", i > 0 ? "; " : "", problems.items[i].pointer,
							 details ? problems.items[i].detail : problems.items[i].code);
	schema_problems_release(&problems);
	cJSON_Delete(document);
	schema_set_free(set);
	return buffer_detach(&text, NULL);
}

static void assert_problems(const char *schema, const char *document, const char *expected)
{
	CLEANUP(free_p) char *text = problems_of(schema, document, false);
	assert_string_equal(text, expected);
}

static void assert_details(const char *schema, const char *document, const char *expected)
{
	CLEANUP(free_p) char *text = problems_of(schema, document, true);
	assert_string_equal(text, expected);
}

static void assert_valid(const char *schema, const char *document)
{
	assert_problems(schema, document, "");
}

TEST(type_is_checked)
{
	static const char *const values[] = {"null", "true", "1", "1.5", "\"s\"", "[]", "{}"};
	static const char *const names[] = {"null", "boolean", "integer", "number", "string", "array", "object"};
	for (size_t t = 0; t < ARRAY_LEN(names); t++) {
		char schema[64];
		(void)snprintf(schema, sizeof(schema), "{\"type\":\"%s\"}", names[t]);
		for (size_t v = 0; v < ARRAY_LEN(values); v++)
			assert_problems(schema, values[v], v == t || (t == 3 && v == 2) ? "" : " type");
	}
	assert_valid("{\"type\":\"integer\"}", "1.0");
}

TEST(type_may_be_a_list)
{
	assert_valid("{\"type\":[\"string\",\"null\"]}", "null");
	assert_details("{\"type\":[\"string\",\"null\"]}", "1", " must be null or a string, is an integer");
	assert_details("{\"type\":\"number\"}", "[]", " must be a number, is an array");
}

TEST(boolean_schemas)
{
	assert_valid("true", "1");
	assert_problems("false", "1", " forbidden");
	assert_problems("{\"properties\":{\"a\":false}}", "{\"a\":1}", "/a forbidden");
}

TEST(required_members_are_named_by_their_own_pointer)
{
	assert_problems("{\"required\":[\"a\",\"b\"]}", "{\"b\":1}", "/a required");
	assert_details("{\"required\":[\"a\"]}", "{}", "/a \"a\" is required");
	assert_valid("{\"required\":[\"a\"]}", "[]");
}

TEST(unknown_members_are_named)
{
	static const char schema[] = "{\"properties\":{\"a\":{}},\"additionalProperties\":false}";
	assert_valid(schema, "{\"a\":1}");
	assert_problems(schema, "{\"a\":1,\"A\":2,\"c\":3}", "/A unknown_field; /c unknown_field");
	assert_details(schema, "{\"x\":1}", "/x \"x\" is not a known field");
}

TEST(a_member_that_is_only_required_is_not_known)
{
	assert_problems("{\"required\":[\"a\"],\"additionalProperties\":false}", "{\"a\":1}", "/a unknown_field");
}

TEST(additional_members_may_have_a_schema)
{
	assert_problems("{\"properties\":{\"a\":{}},\"additionalProperties\":{\"type\":\"string\"}}",
					"{\"a\":1,\"b\":\"x\",\"c\":1}", "/c type");
}

TEST(property_names_are_checked_as_strings)
{
	static const char schema[] = "{\"propertyNames\":{\"maxLength\":2,\"pattern\":\"^[a-z]+$\"}}";
	assert_valid(schema, "{\"ab\":1}");
	assert_problems(schema, "{\"abc\":1,\"A\":2}", "/abc too_long; /A pattern");
	assert_details(schema, "{\"A\":2}", "/A the key \"A\" does not match ^[a-z]+$");
}

TEST(member_counts_are_checked)
{
	assert_problems("{\"minProperties\":1}", "{}", " too_few");
	assert_problems("{\"maxProperties\":1}", "{\"a\":1,\"b\":2}", " too_many");
	assert_valid("{\"minProperties\":1,\"maxProperties\":1}", "{\"a\":1}");
}

TEST(enum_and_const_compare_json_values)
{
	static const char schema[] = "{\"enum\":[\"a\",1,null,true,[1,2],{\"x\":1,\"y\":[2]}]}";
	assert_valid(schema, "\"a\"");
	assert_valid(schema, "1.0");
	assert_valid(schema, "null");
	assert_valid(schema, "true");
	assert_valid(schema, "[1,2]");
	assert_valid(schema, "{\"y\":[2],\"x\":1}");
	static const char *const others[] = {"\"b\"",
										 "2",
										 "false",
										 "[2,1]",
										 "[1]",
										 "{\"x\":1}",
										 "{\"x\":1,\"y\":2}",
										 "{\"x\":1,\"z\":[2]}",
										 "1.0000000000000002"};
	for (size_t i = 0; i < ARRAY_LEN(others); i++)
		assert_problems(schema, others[i], " enum");
	assert_valid("{\"const\":null}", "null");
	assert_problems("{\"const\":\"x\"}", "\"y\"", " const");
}

TEST(enum_details_list_what_is_allowed)
{
	assert_details("{\"enum\":[\"none\",\"fix\",3,null]}", "\"x\"", " \"x\" is not one of \"none\", \"fix\", 3, null");
	assert_details("{\"const\":\"x\"}", "1", " must be \"x\"");
}

TEST(numbers_have_bounds)
{
	static const char schema[] = "{\"minimum\":0,\"maximum\":9}";
	assert_valid(schema, "0");
	assert_valid(schema, "9");
	assert_problems(schema, "-1", " minimum");
	assert_problems(schema, "9.5", " maximum");
	assert_details(schema, "10", " 10 is more than 9");
	assert_details(schema, "-0.5", " -0.5 is less than 0");
	assert_valid(schema, "\"x\"");
}

TEST(lengths_count_code_points)
{
	static const char schema[] = "{\"minLength\":2,\"maxLength\":3}";
	assert_valid(schema, "\"😀😀\"");
	assert_valid(schema, "\"€€€\"");
	assert_problems(schema, "\"€\"", " too_short");
	assert_problems(schema, "\"😀\"", " too_short");
	assert_problems(schema, "\"€€€€\"", " too_long");
	assert_details(schema, "\"abcd\"", " has 4 characters, at most 3 are allowed");
}

TEST(sizes_count_utf8_bytes)
{
	static const char schema[] = "{\"x-min-bytes\":3,\"x-max-bytes\":4}";
	assert_valid(schema, "\"€\"");
	assert_valid(schema, "\"😀\"");
	assert_problems(schema, "\"ab\"", " too_short");
	assert_details(schema, "\"€€\"", " has 6 bytes, at most 4 are allowed");
}

TEST(the_size_of_an_object_is_that_of_its_canonical_form)
{
	static const char schema[] = "{\"x-max-canonical-bytes\":10}";
	assert_valid(schema, "{ \"a\" : \"\\u0062\\u0063\" }");
	assert_valid(schema, "[1,2,3,4,5,6,7]");
	assert_details(schema, "{\"a\":\"\\u0001\"}", " has more than 10 bytes in all");
}

TEST(patterns_match_anywhere_unless_anchored)
{
	assert_valid("{\"pattern\":\"b\"}", "\"abc\"");
	assert_details("{\"pattern\":\"^b\"}", "\"abc\"", " \"abc\" does not match ^b");
}

TEST(what_a_pattern_asks_for_is_said_in_words)
{
	static const char schema[] = "{\"pattern\":\"^b\",\"x-says\":\"a word that begins with b\"}";
	assert_valid(schema, "\"bac\"");
	assert_details(schema, "\"abc\"", " \"abc\" is not a word that begins with b");
}

TEST(a_text_of_the_wrong_format_has_that_problem_only)
{
	assert_problems("{\"pattern\":\"^a$\",\"format\":\"uuid\"}", "\"bbb\"", " format");
}

TEST(a_text_of_the_wrong_length_has_that_problem_only)
{
	assert_problems("{\"maxLength\":2,\"pattern\":\"^a$\",\"format\":\"uuid\"}", "\"bbb\"", " too_long");
}

TEST(details_quote_at_most_64_bytes_of_the_input)
{
	CLEANUP(buffer_release_p) struct buffer document;
	buffer_init(&document, 1000);
	(void)buffer_append_char(&document, '"');
	for (int i = 0; i < 40; i++)
		(void)buffer_append_str(&document, "€");
	(void)buffer_append_char(&document, '"');
	CLEANUP(free_p) char *text = problems_of("{\"pattern\":\"^a$\"}", document.data, true);
	assert_int_equal(strlen(text), strlen(" \"\"… does not match ^a$") + 63);
}

TEST(formats_are_checked)
{
	assert_valid("{\"format\":\"uuid\"}", "\"0190f2a0-0000-7000-8000-000000000000\"");
	assert_problems("{\"format\":\"uuid\"}", "\"0190F2A0-0000-7000-8000-000000000000\"", " format");
	assert_valid("{\"format\":\"date-time\"}", "\"2026-11-23T17:20:00+01:00\"");
	assert_problems("{\"format\":\"date-time\"}", "\"2026-11-23\"", " format");
	static const char *const good[] = {"\"https://h\"", "\"http://[::1]:80/a?b#c\"", "\"urn:x:y\"",
									   "\"a+b:c\"",     "\"https://h/%20\"",         "\"file:///x\""};
	static const char *const bad[] = {
		"\"\"",        "\"h\"",          "\"https://\"",    "\"https:///x\"",  "\"1a:b\"",
		"\"a:\"",      "\"http://h/ \"", "\"http://ä\"",    "\"http://h/%2\"", "\"http://h/%zz\"",
		"\"a:b#c#d\"", "\":x\"",         "\"http://h/\\n\""};
	for (size_t i = 0; i < ARRAY_LEN(good); i++)
		assert_valid("{\"format\":\"uri\"}", good[i]);
	for (size_t i = 0; i < ARRAY_LEN(bad); i++)
		assert_problems("{\"format\":\"uri\"}", bad[i], " format");
}

TEST(items_are_checked_with_their_index)
{
	assert_problems("{\"items\":{\"type\":\"string\"}}", "[\"a\",1,\"b\",null]", "/1 type; /3 type");
	assert_problems("{\"minItems\":2}", "[1]", " too_few");
	assert_problems("{\"maxItems\":1}", "[1,2]", " too_many");
}

TEST(unique_items_compare_json_values)
{
	static const char schema[] = "{\"uniqueItems\":true}";
	assert_valid(schema, "[]");
	assert_valid(schema, "[1,\"1\",true,null,[],{}]");
	assert_problems(schema, "[1,2,1.0]", " not_unique");
	assert_problems(schema, "[\"a\",\"b\",\"a\"]", " not_unique");
	assert_problems(schema, "[{\"a\":1,\"b\":2},{\"b\":2,\"a\":1}]", " not_unique");
	assert_valid("{\"uniqueItems\":false}", "[1,1]");
}

static void append_items(struct buffer *document, int count)
{
	buffer_init(document, 4 << 20);
	for (int i = 0; i < count; i++)
		(void)buffer_appendf(document, "%c\"item %d\"", i > 0 ? ',' : '[', i);
	(void)buffer_append_char(document, ']');
}

static int64_t unique_us(const char *document)
{
	int64_t before = unit_cpu_us();
	assert_valid("{\"uniqueItems\":true}", document);
	return unit_cpu_us() - before;
}

TEST(unique_items_of_a_long_list_is_not_quadratic)
{
	CLEANUP(buffer_release_p) struct buffer few;
	CLEANUP(buffer_release_p) struct buffer document;
	append_items(&few, 10000);
	append_items(&document, 160000);
	assert_true(unique_us(document.data) < 100 * unique_us(few.data)); /* linear: 16 times as long, quadratic: 256 */
	buffer_consume(&document, 1);
	CLEANUP(free_p) char *again = xasprintf("[\"item 99999\",%s", document.data);
	assert_problems("{\"uniqueItems\":true}", again, " not_unique");
}

TEST(all_of_adds_its_problems)
{
	assert_problems("{\"allOf\":[{\"minLength\":2},{\"pattern\":\"^a\"}]}", "\"b\"", " too_short;  pattern");
}

TEST(any_of_needs_one)
{
	static const char schema[] = "{\"anyOf\":[{\"type\":\"null\"},{\"type\":\"string\",\"maxLength\":2}]}";
	assert_valid(schema, "null");
	assert_valid(schema, "\"ab\"");
	assert_problems(schema, "\"abc\"", " too_long"); /* only one can have been meant */
	assert_problems(schema, "1", " any_of");
	assert_valid("{\"anyOf\":[{\"enum\":[1]},{\"enum\":[2]}]}", "2");
}

TEST(one_of_needs_exactly_one)
{
	static const char schema[] = "{\"oneOf\":[{\"minimum\":0},{\"maximum\":10}]}";
	assert_valid(schema, "-1");
	assert_details(schema, "5", " fits more than one of the allowed forms");
	assert_problems("{\"oneOf\":[{\"type\":\"string\"},{\"type\":\"string\"}]}", "1", " one_of");
}

TEST(one_of_with_a_constant_member_explains_the_form_that_was_meant)
{
	static const char schema[] =
		"{\"oneOf\":[{\"$ref\":\"#/$defs/a\"},{\"$ref\":\"#/$defs/b\"}],\"$defs\":{"
		"\"a\":{\"type\":\"object\",\"properties\":{\"kind\":{\"const\":\"a\"},\"x\":{\"type\":\"integer\"}},"
		"\"required\":[\"x\"]},"
		"\"b\":{\"type\":\"object\",\"properties\":{\"kind\":{\"const\":\"b\"},\"y\":{\"type\":\"integer\"}},"
		"\"required\":[\"y\"]}}}";
	assert_problems(schema, "{\"kind\":\"a\",\"x\":\"no\"}", "/x type");
	assert_problems(schema, "{\"kind\":\"b\"}", "/y required");
	assert_problems(schema, "{\"kind\":\"c\"}", " one_of");
}

TEST(refs_recur_through_members)
{
	static const char schema[] =
		"{\"type\":\"object\",\"properties\":{\"next\":{\"$ref\":\"#\"}},\"additionalProperties\":false}";
	assert_valid(schema, "{\"next\":{\"next\":{}}}");
	assert_problems(schema, "{\"next\":{\"next\":{\"x\":1}}}", "/next/next/x unknown_field");
}

TEST(pointers_are_escaped)
{
	assert_problems("{\"additionalProperties\":{\"items\":{\"type\":\"null\"}}}", "{\"a/b~c\":[1]}", "/a~1b~0c/0 type");
}

TEST(problems_come_in_document_order_missing_members_last)
{
	static const char schema[] =
		"{\"properties\":{\"a\":{\"type\":\"null\"},\"b\":{\"type\":\"null\"}},\"required\":[\"z\",\"a\"],"
		"\"additionalProperties\":false}";
	assert_problems(schema, "{\"q\":1,\"b\":2,\"a\":3}", "/q unknown_field; /b type; /a type; /z required");
}

TEST(more_problems_than_the_maximum_are_truncated)
{
	static const char schema_text[] = "{\"items\":false}";
	const struct schema_file files[] = {{"s.json", schema_text, strlen(schema_text)}, {0}};
	struct schema_set *set = NULL;
	struct error err = ERROR_INIT;
	assert_int_equal(schema_set_load(files, &set, &err), 0);
	cJSON *document = cJSON_CreateArray();
	for (int i = 0; i < SCHEMA_MAX_PROBLEMS; i++)
		assert_true(cJSON_AddItemToArray(document, cJSON_CreateNull()));
	struct schema_problems problems = {0};
	assert_false(schema_validate(schema_find(set, "s.json"), document, &problems));
	assert_int_equal(problems.len, SCHEMA_MAX_PROBLEMS);
	assert_false(problems.truncated);
	schema_problems_release(&problems);
	assert_true(cJSON_AddItemToArray(document, cJSON_CreateNull()));
	assert_false(schema_validate(schema_find(set, "s.json"), document, &problems));
	assert_int_equal(problems.len, SCHEMA_MAX_PROBLEMS);
	assert_true(problems.truncated);
	schema_problem_add(&problems, "", "x", "dropped");
	assert_int_equal(problems.len, SCHEMA_MAX_PROBLEMS);
	schema_problems_release(&problems);
	cJSON_Delete(document);
	schema_set_free(set);
}

TEST(rules_outside_of_schemas_add_problems)
{
	struct schema_problems problems = {0};
	schema_problem_add(&problems, "/auto_push", "conflict", "needs %s", "auto_commit");
	assert_int_equal(problems.len, 1);
	assert_string_equal(problems.items[0].pointer, "/auto_push");
	assert_string_equal(problems.items[0].code, "conflict");
	assert_string_equal(problems.items[0].detail, "needs auto_commit");
	schema_problems_release(&problems);
	assert_int_equal(problems.len, 0);
}

/* Each level tries its alternatives: the work must not double with each. */
TEST(nested_alternatives_are_not_exponential)
{
	CLEANUP(buffer_release_p) struct buffer document;
	buffer_init(&document, 1000);
	for (int i = 0; i < 30; i++)
		(void)buffer_append_str(&document, "[");
	(void)buffer_append_str(&document, "1");
	for (int i = 0; i < 30; i++)
		(void)buffer_append_str(&document, "]");
	static const char schema[] = "{\"anyOf\":[{\"type\":\"array\",\"items\":{\"$ref\":\"#\"}},{\"type\":\"null\"}]}";
	int64_t before = unit_cpu_us();
	CLEANUP(free_p) char *text = problems_of(schema, document.data, false);
	assert_non_null(strstr(text, "/0 any_of"));
	assert_true(unit_cpu_us() - before < 10000000);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(type_is_checked),
		cmocka_unit_test(type_may_be_a_list),
		cmocka_unit_test(boolean_schemas),
		cmocka_unit_test(required_members_are_named_by_their_own_pointer),
		cmocka_unit_test(unknown_members_are_named),
		cmocka_unit_test(a_member_that_is_only_required_is_not_known),
		cmocka_unit_test(additional_members_may_have_a_schema),
		cmocka_unit_test(property_names_are_checked_as_strings),
		cmocka_unit_test(member_counts_are_checked),
		cmocka_unit_test(enum_and_const_compare_json_values),
		cmocka_unit_test(enum_details_list_what_is_allowed),
		cmocka_unit_test(numbers_have_bounds),
		cmocka_unit_test(lengths_count_code_points),
		cmocka_unit_test(sizes_count_utf8_bytes),
		cmocka_unit_test(the_size_of_an_object_is_that_of_its_canonical_form),
		cmocka_unit_test(patterns_match_anywhere_unless_anchored),
		cmocka_unit_test(what_a_pattern_asks_for_is_said_in_words),
		cmocka_unit_test(a_text_of_the_wrong_format_has_that_problem_only),
		cmocka_unit_test(a_text_of_the_wrong_length_has_that_problem_only),
		cmocka_unit_test(details_quote_at_most_64_bytes_of_the_input),
		cmocka_unit_test(formats_are_checked),
		cmocka_unit_test(items_are_checked_with_their_index),
		cmocka_unit_test(unique_items_compare_json_values),
		cmocka_unit_test(unique_items_of_a_long_list_is_not_quadratic),
		cmocka_unit_test(all_of_adds_its_problems),
		cmocka_unit_test(any_of_needs_one),
		cmocka_unit_test(one_of_needs_exactly_one),
		cmocka_unit_test(one_of_with_a_constant_member_explains_the_form_that_was_meant),
		cmocka_unit_test(refs_recur_through_members),
		cmocka_unit_test(pointers_are_escaped),
		cmocka_unit_test(problems_come_in_document_order_missing_members_last),
		cmocka_unit_test(more_problems_than_the_maximum_are_truncated),
		cmocka_unit_test(rules_outside_of_schemas_add_problems),
		cmocka_unit_test(nested_alternatives_are_not_exponential),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
