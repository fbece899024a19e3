#include "tests/unit/unit.h"

#include "common/base/alloc.h"
#include "common/json/json.h"

static struct error err;

static cJSON *parse(const char *text, size_t len)
{
	/* A copy of the exact length, so that the sanitizer sees a read past it. */
	CLEANUP(free_p) char *exact = xmemdup(text, len);
	cJSON *tree = NULL;
	err = (struct error)ERROR_INIT;
	int result = json_parse(exact, len, &tree, &err);
	assert_int_equal(result == 0, tree != NULL);
	assert_int_equal(result == 0, err.kind == ERR_NONE);
	return tree;
}

static cJSON *must_parse(const char *text)
{
	cJSON *tree = parse(text, strlen(text));
	if (tree == NULL)
		fail_msg("%s: %s", text, err.message);
	return tree;
}

static void assert_refused_len(const char *text, size_t len, const char *message)
{
	cJSON *tree = parse(text, len);
	if (tree != NULL)
		fail_msg("accepted: %s", text);
	assert_int_equal(err.kind, ERR_INVALID);
	assert_string_equal(err.message, message);
}

static void assert_refused(const char *text, const char *message)
{
	assert_refused_len(text, strlen(text), message);
}

TEST(every_kind_of_value_is_accepted)
{
	static const char *const texts[] = {
		"null",
		"true",
		" false ",
		"0",
		"-0",
		"-1.5e+3",
		"1E5",
		"0.5",
		"\"\"",
		"\"a\\\"\\\\\\/\\b\\f\\n\\r\\t\\u00e4\"",
		"[]",
		"{}",
		"[1,[2,{\"a\":[]}],{}]",
		"\t\r\n {\"a\" : 1 , \"b\" : [ ] } ",
		"\"\\ud83d\\ude00\"",
		"\"\x7f\"",
		"\"äö€😀\"",
		"\"eight bytes and more, all plain\"",
	};
	for (size_t i = 0; i < ARRAY_LEN(texts); i++)
		cJSON_Delete(must_parse(texts[i]));
}

TEST(a_parsed_tree_has_the_values)
{
	CLEANUP(cJSON_Delete_p) cJSON *tree = must_parse("{\"a\":\"x\\ny\",\"b\":[1,2.5],\"c\":true,\"\\u0064\":null}");
	assert_string_equal(json_get_string(tree, "a"), "x\ny");
	assert_int_equal(cJSON_GetArraySize(json_get(tree, "b")), 2);
	assert_true(json_get_bool(tree, "c", false));
	assert_true(cJSON_IsNull(json_get(tree, "d")));
}

TEST(broken_grammar_is_refused_with_its_place)
{
	assert_refused("", "byte 0: a value is expected");
	assert_refused("  ", "byte 2: a value is expected");
	assert_refused("{", "byte 1: a key in quotes is expected");
	assert_refused("{\"a\"", "byte 4: \":\" is expected");
	assert_refused("{\"a\":", "byte 5: a value is expected");
	assert_refused("{\"a\":1", "byte 6: \",\" or \"}\" is expected");
	assert_refused("{\"a\":1,}", "byte 7: a key in quotes is expected");
	assert_refused("{a:1}", "byte 1: a key in quotes is expected");
	assert_refused("{1:1}", "byte 1: a key in quotes is expected");
	assert_refused("[", "byte 1: a value is expected");
	assert_refused("[1", "byte 2: \",\" or \"]\" is expected");
	assert_refused("[1,]", "byte 3: a value is expected");
	assert_refused("[1}", "byte 2: \",\" or \"]\" is expected");
	assert_refused("{\"a\":1]", "byte 6: \",\" or \"}\" is expected");
	assert_refused("[1 2]", "byte 3: \",\" or \"]\" is expected");
	assert_refused("]", "byte 0: a value is expected");
	assert_refused("tru", "byte 0: a value is expected");
	assert_refused("True", "byte 0: a value is expected");
	assert_refused("nul", "byte 0: a value is expected");
	assert_refused("'a'", "byte 0: a value is expected");
	assert_refused("/* c */ 1", "byte 0: a value is expected");
	assert_refused("\xEF\xBB\xBF{}", "byte 0: a value is expected");
	assert_refused("\v1", "byte 0: a value is expected");
}

TEST(text_behind_the_value_is_refused)
{
	assert_refused("{} x", "byte 3: more text after the value");
	assert_refused("1 2", "byte 2: more text after the value");
	assert_refused("truex", "byte 4: more text after the value");
	assert_refused_len("1\0", 2, "byte 1: more text after the value");
	assert_refused("01", "byte 1: more text after the value");
}

TEST(broken_numbers_are_refused)
{
	assert_refused("-", "byte 0: a number without digits");
	assert_refused("+1", "byte 0: a value is expected");
	assert_refused(".5", "byte 0: a value is expected");
	assert_refused("1.", "byte 0: a number without digits after the point");
	assert_refused("[1.e3]", "byte 1: a number without digits after the point");
	assert_refused("1e", "byte 0: a number without digits in its exponent");
	assert_refused("1e+", "byte 0: a number without digits in its exponent");
	assert_refused("NaN", "byte 0: a value is expected");
	assert_refused("-Infinity", "byte 0: a number without digits");
	assert_refused("0x10", "byte 1: more text after the value");
}

TEST(numbers_outside_of_double_are_refused)
{
	assert_refused("[1e309]", "byte 1: a number outside of the range of a double");
	assert_refused("-1e400", "byte 0: a number outside of the range of a double");
	cJSON_Delete(must_parse("1.7976931348623157e308"));
	cJSON_Delete(must_parse("1e-400"));
}

TEST(numbers_of_more_than_63_characters_are_refused)
{
	char text[80];
	memset(text, '1', sizeof(text));
	assert_refused_len(text, 64, "byte 0: a number of more than 63 characters");
	cJSON *tree = parse(text, 63);
	assert_non_null(tree);
	cJSON_Delete(tree);
}

TEST(broken_strings_are_refused)
{
	assert_refused("\"abc", "byte 0: this string does not end");
	assert_refused("[\"abcdefghijkl", "byte 1: this string does not end");
	assert_refused("\"a\\", "byte 2: the text ends inside of an escape");
	assert_refused("\"a\\x\"", "byte 2: unknown escape");
	assert_refused("\"a\nb\"", "byte 2: a control character must be escaped");
	assert_refused("\"a\x1f\"", "byte 2: a control character must be escaped");
	assert_refused("\"\\u12\"", "byte 1: \\u without four hexadecimal digits");
	assert_refused("\"\\u12g4\"", "byte 1: \\u without four hexadecimal digits");
	assert_refused("\"\\u", "byte 1: \\u without four hexadecimal digits");
}

TEST(nul_is_refused_raw_and_escaped)
{
	assert_refused_len("\"a\0\"", 4, "byte 2: the character U+0000 is not allowed");
	assert_refused("\"a\\u0000\"", "byte 2: the character U+0000 is not allowed");
	assert_refused("{\"\\u0000\":1}", "byte 2: the character U+0000 is not allowed");
}

TEST(lone_surrogates_are_refused)
{
	static const char *const halves[] = {"\"\\ud83d\"",      "\"\\ude00\"",        "\"\\ud83dx\"",
										 "\"\\ud83d\\n\"",   "\"\\ud83d\\ud83d\"", "\"\\ud83d\\u0041\"",
										 "\"\\ud83d\\u12\"", "\"\\uDFFF\\uD800\""};
	for (size_t i = 0; i < ARRAY_LEN(halves); i++)
		assert_refused(halves[i], "byte 1: a surrogate without its other half");
}

TEST(invalid_utf8_is_refused)
{
	assert_refused("\"a\xff\"", "byte 2: invalid UTF-8");
	assert_refused("\"\xC0\x80\"", "byte 1: invalid UTF-8");
	assert_refused("\"\xED\xA0\x80\"", "byte 1: invalid UTF-8");
	assert_refused("\"12345678\xE2\x82\"", "byte 9: invalid UTF-8");
	assert_refused("\"\xE2\x82", "byte 1: invalid UTF-8");
	assert_refused("{\"\xff\":1}", "byte 2: invalid UTF-8");
}

/* Every byte at every place of a word: the eight-at-a-time scan must see what the slow one sees. */
TEST(special_bytes_are_seen_at_every_offset)
{
	for (size_t at = 0; at < 17; at++) {
		for (int byte = 0; byte < 256; byte++) {
			char text[19];
			memset(text, 'x', sizeof(text));
			text[0] = text[18] = '"';
			text[1 + at] = (char)byte;
			cJSON *tree = parse(text, sizeof(text));
			bool plain = byte >= 0x20 && byte < 0x80 && byte != '"' && byte != '\\';
			assert_int_equal(tree != NULL, plain);
			cJSON_Delete(tree);
		}
	}
}

TEST(nesting_over_32_is_refused)
{
	char text[200];
	memset(text, '[', 33);
	memset(text + 33, ']', 33);
	assert_refused_len(text, 66, "byte 32: nested more than 32 levels deep");
	cJSON *tree = parse(text + 1, 64);
	assert_non_null(tree);
	cJSON_Delete(tree);
	memset(text, '[', sizeof(text));
	assert_refused_len(text, sizeof(text), "byte 32: nested more than 32 levels deep");
}

TEST(duplicate_keys_are_refused_with_their_place)
{
	assert_refused("{\"a\":1,\"a\":2}", "byte 7: duplicate key \"a\"");
	assert_refused("{\"a\":{\"x\":[\"x\"],\"b\":{}},\"c\" : 2, \"a\" :3}", "byte 33: duplicate key \"a\"");
	assert_refused("[{\"b\":\"q\\\"\",\"a\":1},{\"k\":{\"a\":1,\"\\u0061\":2}}]", "byte 31: duplicate key \"\\u0061\"");
	assert_refused("{\"\":1,\"\":2}", "byte 6: duplicate key \"\"");
	assert_refused("{\"a\\n\":1,\"a\\n\":2}", "byte 9: duplicate key \"a\\n\""); /* as written: one line */
}

TEST(keys_that_differ_in_case_are_no_duplicates)
{
	CLEANUP(cJSON_Delete_p) cJSON *tree = must_parse("{\"Prompt\":1,\"prompt\":2}");
	assert_int_equal(json_get_int(tree, "prompt", 0), 2);
	assert_int_equal(json_get_int(tree, "Prompt", 0), 1);
	assert_null(json_get(tree, "PROMPT"));
}

static void append_keys(struct buffer *buf, int count)
{
	assert_int_equal(buffer_append_char(buf, '{'), 0);
	for (int i = 0; i < count; i++)
		assert_int_equal(buffer_appendf(buf, "%s\"key%d\":%d", i > 0 ? "," : "", i, i), 0);
}

TEST(duplicates_are_found_in_objects_of_any_size)
{
	for (int count = 1; count < 140; count += 3) {
		CLEANUP(buffer_release_p) struct buffer buf;
		buffer_init(&buf, 1 << 20);
		append_keys(&buf, count);
		size_t len = buf.len;
		(void)buffer_append_char(&buf, '}');
		cJSON_Delete(must_parse(buf.data));
		buffer_truncate(&buf, len);
		(void)buffer_appendf(&buf, ",\"key%d\":0}", count / 2);
		char expected[64];
		(void)snprintf(expected, sizeof(expected), "byte %zu: duplicate key \"key%d\"", len + 1, count / 2);
		cJSON *tree = parse(buf.data, buf.len);
		assert_null(tree);
		/* In a large object the pair is found in sorted order: either of the two may be named. */
		if (count < 64)
			assert_string_equal(err.message, expected);
		assert_non_null(strstr(err.message, "duplicate key"));
	}
}

static int64_t parsing_us(int keys)
{
	CLEANUP(buffer_release_p) struct buffer buf;
	buffer_init(&buf, 8 << 20);
	append_keys(&buf, keys);
	(void)buffer_append_char(&buf, '}');
	int64_t before = unit_cpu_us();
	cJSON_Delete(must_parse(buf.data));
	return unit_cpu_us() - before;
}

TEST(an_object_of_many_keys_is_not_quadratic)
{
	assert_true(parsing_us(160000) < 100 * parsing_us(10000)); /* linear would be 16 times as long, quadratic 256 */
}

TEST(getters_take_null_and_what_is_no_object)
{
	CLEANUP(cJSON_Delete_p) cJSON *tree = must_parse("[{\"a\":1}]");
	assert_null(json_get(NULL, "a"));
	assert_null(json_get(tree, "a"));
	assert_null(json_get_string(NULL, "a"));
	assert_int_equal(json_get_int(tree, "a", 7), 7);
	assert_true(json_get_bool(NULL, "a", true));
}

TEST(getters_of_another_type_give_the_fallback)
{
	CLEANUP(cJSON_Delete_p)
	cJSON *tree = must_parse(
		"{\"s\":\"1\",\"n\":1,\"f\":1.5,\"big\":9007199254740993,\"huge\":1e300,\"edge\":-9007199254740992}");
	assert_null(json_get_string(tree, "n"));
	assert_int_equal(json_get_int(tree, "s", 7), 7);
	assert_int_equal(json_get_int(tree, "f", 7), 7);
	assert_int_equal(json_get_int(tree, "huge", 7), 7);
	assert_int_equal(json_get_int(tree, "edge", 7), INT64_C(-9007199254740992));
	assert_false(json_get_bool(tree, "n", false));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_kind_of_value_is_accepted),
		cmocka_unit_test(a_parsed_tree_has_the_values),
		cmocka_unit_test(broken_grammar_is_refused_with_its_place),
		cmocka_unit_test(text_behind_the_value_is_refused),
		cmocka_unit_test(broken_numbers_are_refused),
		cmocka_unit_test(numbers_outside_of_double_are_refused),
		cmocka_unit_test(numbers_of_more_than_63_characters_are_refused),
		cmocka_unit_test(broken_strings_are_refused),
		cmocka_unit_test(nul_is_refused_raw_and_escaped),
		cmocka_unit_test(lone_surrogates_are_refused),
		cmocka_unit_test(invalid_utf8_is_refused),
		cmocka_unit_test(special_bytes_are_seen_at_every_offset),
		cmocka_unit_test(nesting_over_32_is_refused),
		cmocka_unit_test(duplicate_keys_are_refused_with_their_place),
		cmocka_unit_test(keys_that_differ_in_case_are_no_duplicates),
		cmocka_unit_test(duplicates_are_found_in_objects_of_any_size),
		cmocka_unit_test(an_object_of_many_keys_is_not_quadratic),
		cmocka_unit_test(getters_take_null_and_what_is_no_object),
		cmocka_unit_test(getters_of_another_type_give_the_fallback),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
