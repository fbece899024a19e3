#include "tests/unit/unit.h"

#include "common/json/schema.h"

static struct error err;

static struct schema_set *load(const struct schema_file *files)
{
	struct schema_set *set = NULL;
	err = (struct error)ERROR_INIT;
	int result = schema_set_load(files, &set, &err);
	assert_int_equal(result == 0, set != NULL);
	return set;
}

static struct schema_file file(const char *name, const char *data)
{
	return (struct schema_file){name, data, strlen(data)};
}

static void assert_refused(const char *data, const char *part)
{
	const struct schema_file files[] = {file("dir/a.json", data), {0}};
	struct schema_set *set = load(files);
	if (set != NULL)
		fail_msg("accepted: %s", data);
	assert_int_equal(err.kind, ERR_INVALID);
	if (strstr(err.message, part) == NULL)
		fail_msg("no \"%s\" in: %s", part, err.message);
}

TEST(no_files_are_an_empty_set)
{
	const struct schema_file files[] = {{0}};
	struct schema_set *set = load(files);
	assert_null(schema_find(set, "a.json"));
	schema_set_free(set);
	schema_set_free(NULL);
}

TEST(files_are_found_by_name)
{
	const struct schema_file files[] = {file("a.json", "true"), file("dir/b.json", "{}"), {0}};
	struct schema_set *set = load(files);
	assert_non_null(schema_find(set, "a.json"));
	assert_non_null(schema_find(set, "dir/b.json"));
	assert_null(schema_find(set, "b.json"));
	schema_set_free(set);
}

TEST(a_table_among_the_schemas_is_no_schema)
{
	const struct schema_file files[] = {file("table.json", "[{\"slug\":1}]"), {0}};
	struct schema_set *set = load(files);
	assert_non_null(set);
	assert_null(schema_find(set, "table.json"));
	schema_set_free(set);
}

TEST(broken_json_is_named_with_its_file)
{
	assert_refused("{", "dir/a.json: byte 1:");
}

TEST(unknown_keywords_are_refused_with_their_place)
{
	assert_refused("{\"properties\":{\"x\":{\"multipleOf\":2}}}",
				   "dir/a.json: properties/x: multipleOf: unknown keyword");
	assert_refused("{\"allOf\":[{},{\"not\":{}}]}", "allOf/1: not: unknown keyword");
	assert_refused("{\"additionalProperties\":{\"if\":{}}}", "additionalProperties: if: unknown keyword");
	assert_refused("{\"$defs\":{\"d\":{\"patternProperties\":{}}}}", "$defs/d: patternProperties: unknown keyword");
}

TEST(annotations_are_ignored)
{
	const struct schema_file files[] = {
		file("a.json",
			 "{\"title\":1,\"description\":2,\"$id\":3,\"$schema\":4,\"$comment\":5,\"examples\":6,\"default\":7,"
			 "\"deprecated\":8,\"x-anything\":9}"),
		{0},
	};
	struct schema_set *set = load(files);
	assert_non_null(set);
	schema_set_free(set);
}

TEST(keywords_of_the_wrong_type_are_refused)
{
	static const char *const wrong[] = {
		"{\"type\":\"strin\"}",
		"{\"type\":1}",
		"{\"type\":[]}",
		"{\"type\":[\"string\",1]}",
		"{\"properties\":[]}",
		"{\"properties\":{\"a\":1}}",
		"{\"required\":{}}",
		"{\"required\":[1]}",
		"{\"additionalProperties\":1}",
		"{\"minLength\":-1}",
		"{\"maxLength\":1.5}",
		"{\"x-max-bytes\":\"1\"}",
		"{\"x-max-canonical-bytes\":-1}",
		"{\"minItems\":1e300}",
		"{\"minimum\":\"1\"}",
		"{\"pattern\":1}",
		"{\"pattern\":\"(\"}",
		"{\"format\":\"email\"}",
		"{\"format\":1}",
		"{\"x-says\":1}",
		"{\"enum\":[]}",
		"{\"enum\":1}",
		"{\"uniqueItems\":1}",
		"{\"oneOf\":[]}",
		"{\"anyOf\":{}}",
		"{\"$ref\":1}",
		"{\"$defs\":[]}",
		"{\"items\":{\"$defs\":{}}}",
		"{\"items\":null}",
		"\"x\"",
	};
	for (size_t i = 0; i < ARRAY_LEN(wrong); i++)
		assert_refused(wrong[i], "dir/a.json: ");
}

TEST(a_ref_to_nothing_is_refused)
{
	assert_refused("{\"$ref\":\"#/$defs/x\"}", "not found there");
	assert_refused("{\"$ref\":\"#/properties/x\"}", "not found there");
	assert_refused("{\"$ref\":\"b.json\"}", "no such file");
	assert_refused("{\"$ref\":\"../../a.json\"}", "no such file");
}

TEST(a_ref_that_leads_back_to_itself_is_refused)
{
	assert_refused("{\"$ref\":\"#\"}", "back to itself");
	assert_refused("{\"$defs\":{\"a\":{\"anyOf\":[{\"$ref\":\"#/$defs/b\"}]},\"b\":{\"$ref\":\"#/$defs/a\"}}}",
				   "back to itself");
}

TEST(a_ref_that_recurs_through_a_member_is_fine)
{
	const struct schema_file files[] = {
		file("a.json", "{\"properties\":{\"next\":{\"$ref\":\"#\"}},\"items\":{\"$ref\":\"#\"}}"), {0}};
	struct schema_set *set = load(files);
	assert_non_null(set);
	schema_set_free(set);
}

TEST(refs_reach_other_files_relative_to_their_own)
{
	const struct schema_file files[] = {
		file("events/a.json", "{\"$ref\":\"b.json\"}"),
		file("events/b.json",
			 "{\"properties\":{\"x\":{\"$ref\":\"../common.json#/$defs/x\"},\"y\":{\"$ref\":\"./a.json\"}}}"),
		file("common.json", "{\"$defs\":{\"x\":{\"type\":\"string\"}}}"),
		{0},
	};
	struct schema_set *set = load(files);
	if (set == NULL)
		fail_msg("%s", err.message);
	schema_set_free(set);
}

TEST(more_than_256_properties_are_refused)
{
	CLEANUP(buffer_release_p) struct buffer data;
	buffer_init(&data, 100000);
	for (int i = 0; i < 257; i++)
		(void)buffer_appendf(&data, "%s\"p%d\"", i > 0 ? "," : "{\"required\":[", i);
	(void)buffer_append_str(&data, "]}");
	const struct schema_file files[] = {file("a.json", data.data), {0}};
	assert_null(load(files));
	assert_int_equal(err.kind, ERR_LIMIT);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(no_files_are_an_empty_set),
		cmocka_unit_test(files_are_found_by_name),
		cmocka_unit_test(a_table_among_the_schemas_is_no_schema),
		cmocka_unit_test(broken_json_is_named_with_its_file),
		cmocka_unit_test(unknown_keywords_are_refused_with_their_place),
		cmocka_unit_test(annotations_are_ignored),
		cmocka_unit_test(keywords_of_the_wrong_type_are_refused),
		cmocka_unit_test(a_ref_to_nothing_is_refused),
		cmocka_unit_test(a_ref_that_leads_back_to_itself_is_refused),
		cmocka_unit_test(a_ref_that_recurs_through_a_member_is_fine),
		cmocka_unit_test(refs_reach_other_files_relative_to_their_own),
		cmocka_unit_test(more_than_256_properties_are_refused),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
