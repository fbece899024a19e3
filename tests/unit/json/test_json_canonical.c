#include "tests/unit/unit.h"

#include "common/json/json.h"

static void assert_canonical(const char *text, const char *expected)
{
	CLEANUP(buffer_release_p) struct buffer buf;
	buffer_init(&buf, 100000);
	cJSON *tree = NULL;
	struct error err = ERROR_INIT;
	if (json_parse(text, strlen(text), &tree, &err) < 0)
		fail_msg("%s: %s", text, err.message);
	assert_int_equal(json_canonical(&buf, tree), 0);
	assert_string_equal(buf.data, expected);
	cJSON_Delete(tree);
}

/* RFC 8785, section 3.2.2. */
TEST(the_example_of_rfc_8785)
{
	assert_canonical(
		"{\n"
		"  \"numbers\": [333333333.33333329, 1E30, 4.50, 2e-3, 0.000000000000000000000000001],\n"
		"  \"string\": \"\\u20ac$\\u000F\\u000aA'\\u0042\\u0022\\u005c\\\\\\\"\\/\",\n"
		"  \"literals\": [null, true, false]\n"
		"}",
		"{\"literals\":[null,true,false],\"numbers\":[333333333.3333333,1e+30,4.5,0.002,1e-27],"
		"\"string\":\"€$\\u000f\\nA'B\\\"\\\\\\\\\\\"/\"}");
}

/* RFC 8785, section 3.2.3. */
TEST(keys_are_sorted_by_utf16_code_units)
{
	assert_canonical("{\"\\u20ac\":1,\"\\r\":2,\"\\ufb33\":3,\"1\":4,\"\\ud83d\\ude00\":5,\"\\u0080\":6,\"\\u00f6\":7}",
					 "{\"\\r\":2,\"1\":4,\"\xC2\x80\":6,\"ö\":7,\"€\":1,\"😀\":5,\"\xEF\xAC\xB3\":3}");
}

TEST(a_prefix_comes_before_the_longer_key)
{
	assert_canonical("{\"ab\":1,\"a\":2,\"\":3,\"a\\ue000\":4,\"a\\ud800\\udc00\":5}",
					 "{\"\":3,\"a\":2,\"ab\":1,\"a\xF0\x90\x80\x80\":5,\"a\xEE\x80\x80\":4}");
}

TEST(arrays_keep_their_order_and_inner_objects_are_sorted)
{
	assert_canonical("[3,{\"b\":{\"d\":1,\"c\":2},\"a\":[]},1]", "[3,{\"a\":[],\"b\":{\"c\":2,\"d\":1}},1]");
}

TEST(large_objects_are_sorted_too)
{
	CLEANUP(buffer_release_p) struct buffer text;
	CLEANUP(buffer_release_p) struct buffer expected;
	buffer_init(&text, 100000);
	buffer_init(&expected, 100000);
	for (int i = 0; i < 500; i++) {
		(void)buffer_appendf(&text, "%c\"k%03d\":0", i > 0 ? ',' : '{', i * 7 % 500);
		(void)buffer_appendf(&expected, "%c\"k%03d\":0", i > 0 ? ',' : '{', i);
	}
	(void)buffer_append_char(&text, '}');
	(void)buffer_append_char(&expected, '}');
	assert_canonical(text.data, expected.data);
}

TEST(canonical_text_stays_what_it_is)
{
	static const char text[] = "{\"a\":[1,2.5,\"x\"],\"b\":null}";
	assert_canonical(text, text);
}

TEST(a_full_buffer_is_an_error)
{
	CLEANUP(buffer_release_p) struct buffer small;
	buffer_init(&small, 3);
	cJSON *tree = cJSON_Parse("[1,2,3]");
	assert_int_equal(json_canonical(&small, tree), -1);
	cJSON_Delete(tree);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_example_of_rfc_8785),
		cmocka_unit_test(keys_are_sorted_by_utf16_code_units),
		cmocka_unit_test(a_prefix_comes_before_the_longer_key),
		cmocka_unit_test(arrays_keep_their_order_and_inner_objects_are_sorted),
		cmocka_unit_test(large_objects_are_sorted_too),
		cmocka_unit_test(canonical_text_stays_what_it_is),
		cmocka_unit_test(a_full_buffer_is_an_error),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
