#include "tests/unit/unit.h"

#include <math.h>

#include "common/json/json.h"

static struct buffer buf;
static struct json_writer w;

static int setup(void **state)
{
	(void)state;
	buffer_init(&buf, 10000);
	json_writer_init(&w, &buf);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	buffer_release(&buf);
	return 0;
}

TEST(commas_and_colons_are_the_writers_business)
{
	json_object_begin(&w, NULL);
	json_int(&w, "a", 1);
	json_array_begin(&w, "b");
	json_null(&w, NULL);
	json_bool(&w, NULL, true);
	json_object_begin(&w, NULL);
	json_object_end(&w);
	json_array_begin(&w, NULL);
	json_array_end(&w);
	json_array_end(&w);
	json_string(&w, "c", "x");
	json_double(&w, "d", 0.5);
	json_bool(&w, "e", false);
	json_object_end(&w);
	assert_string_equal(buf.data, "{\"a\":1,\"b\":[null,true,{},[]],\"c\":\"x\",\"d\":0.5,\"e\":false}");
}

TEST(null_text_raw_and_tree_are_null)
{
	json_array_begin(&w, NULL);
	json_string(&w, NULL, NULL);
	json_raw(&w, NULL, NULL);
	json_tree(&w, NULL, NULL);
	json_array_end(&w);
	assert_string_equal(buf.data, "[null,null,null]");
}

TEST(escapes_are_minimal)
{
	json_string(&w, NULL, "\"\\/\b\f\n\r\t\x01\x1f\x7f ä€😀");
	assert_string_equal(buf.data, "\"\\\"\\\\/\\b\\f\\n\\r\\t\\u0001\\u001f\x7f ä€😀\"");
}

static void assert_comes_back(size_t len, size_t place, char c)
{
	char text[18] = "aaaaaaaaaaaaaaaaa";
	text[len] = '\0';
	text[place] = c;
	buffer_clear(&buf);
	json_writer_init(&w, &buf);
	json_string(&w, NULL, text);
	CLEANUP(cJSON_Delete_p) cJSON *tree = NULL;
	struct error err = ERROR_INIT;
	assert_int_equal(json_parse(buf.data, buf.len, &tree, &err), 0);
	assert_string_equal(cJSON_GetStringValue(tree), text);
	bool escaped = c < 0x20 || c == '"' || c == '\\';
	assert_int_equal(buf.len > len + 2, escaped);
}

/* Eight bytes are looked at together, and four: each byte at each place of a text of each length must still be seen. */
TEST(every_ascii_byte_at_every_place_comes_back)
{
	for (size_t len = 1; len <= 17; len++) {
		for (size_t place = 0; place < len; place++) {
			for (int c = 1; c < 128; c++)
				assert_comes_back(len, place, (char)c);
		}
	}
}

TEST(keys_are_escaped_too)
{
	json_object_begin(&w, NULL);
	json_int(&w, "a\"b\n", 1);
	json_object_end(&w);
	assert_string_equal(buf.data, "{\"a\\\"b\\n\":1}");
}

TEST(nul_and_invalid_utf8_become_the_replacement_character)
{
	json_string_len(&w, NULL, "a\0b\xff\xE2\x82", 6);
	assert_string_equal(buf.data, "\"a\uFFFDb\uFFFD\uFFFD\uFFFD\"");
}

TEST(numbers_that_are_not_finite_are_null)
{
	json_array_begin(&w, NULL);
	json_double(&w, NULL, (double)NAN);
	json_double(&w, NULL, -(double)INFINITY);
	json_array_end(&w);
	assert_string_equal(buf.data, "[null,null]");
}

TEST(raw_text_is_inserted_as_it_is)
{
	json_array_begin(&w, NULL);
	json_raw(&w, NULL, "{\"x\": 1}");
	json_raw_len(&w, NULL, "2 and more", 1);
	json_array_end(&w);
	assert_string_equal(buf.data, "[{\"x\": 1},2]");
}

TEST(a_tree_is_written_in_its_own_order)
{
	static const char text[] = "{\"z\":[1,-2.5,\"a\\nb\",null,true,false],\"a\":{\"c\":{}}}";
	cJSON *tree = cJSON_Parse(text);
	json_tree(&w, NULL, tree);
	assert_string_equal(buf.data, text);
	cJSON_Delete(tree);
}

TEST(raw_members_of_a_tree_are_inserted_as_they_are)
{
	cJSON *tree = cJSON_CreateArray();
	assert_true(cJSON_AddItemToArray(tree, cJSON_CreateRaw("{ }")));
	json_tree(&w, NULL, tree);
	assert_string_equal(buf.data, "[{ }]");
	cJSON_Delete(tree);
}

TEST(what_is_written_can_be_parsed)
{
	json_array_begin(&w, NULL);
	char text[256];
	for (int i = 0; i < 256; i++)
		text[i] = (char)i;
	json_string_len(&w, NULL, text, sizeof(text));
	json_double(&w, NULL, 1e300);
	json_array_end(&w);
	cJSON *tree = NULL;
	struct error err = ERROR_INIT;
	assert_int_equal(json_parse(buf.data, buf.len, &tree, &err), 0);
	cJSON_Delete(tree);
}

TEST(a_full_buffer_shows_in_the_buffer)
{
	CLEANUP(buffer_release_p) struct buffer small;
	buffer_init(&small, 8);
	json_writer_init(&w, &small);
	json_string(&w, NULL, "more than eight");
	assert_false(buffer_ok(&small));
}

static void end_without_begin(void *arg)
{
	(void)arg;
	json_object_end(&w);
}

static void end_of_the_other_kind(void *arg)
{
	(void)arg;
	json_object_begin(&w, NULL);
	json_array_end(&w);
}

static void member_without_key(void *arg)
{
	(void)arg;
	json_object_begin(&w, NULL);
	json_int(&w, NULL, 1);
}

static void item_with_key(void *arg)
{
	(void)arg;
	json_array_begin(&w, NULL);
	json_int(&w, "k", 1);
}

static void two_values_at_the_top(void *arg)
{
	(void)arg;
	json_int(&w, NULL, 1);
	json_int(&w, NULL, 2);
}

static void too_many_levels(void *arg)
{
	(void)arg;
	for (int i = 0; i < 65; i++)
		json_array_begin(&w, NULL);
}

TEST(nesting_errors_abort)
{
	unit_assert_aborts(end_without_begin, NULL);
	unit_assert_aborts(end_of_the_other_kind, NULL);
	unit_assert_aborts(member_without_key, NULL);
	unit_assert_aborts(item_with_key, NULL);
	unit_assert_aborts(two_values_at_the_top, NULL);
	unit_assert_aborts(too_many_levels, NULL);
}

#define UNIT(test) cmocka_unit_test_setup_teardown(test, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		UNIT(commas_and_colons_are_the_writers_business),
		UNIT(null_text_raw_and_tree_are_null),
		UNIT(escapes_are_minimal),
		UNIT(every_ascii_byte_at_every_place_comes_back),
		UNIT(keys_are_escaped_too),
		UNIT(nul_and_invalid_utf8_become_the_replacement_character),
		UNIT(numbers_that_are_not_finite_are_null),
		UNIT(raw_text_is_inserted_as_it_is),
		UNIT(a_tree_is_written_in_its_own_order),
		UNIT(raw_members_of_a_tree_are_inserted_as_they_are),
		UNIT(what_is_written_can_be_parsed),
		UNIT(a_full_buffer_shows_in_the_buffer),
		UNIT(nesting_errors_abort),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
