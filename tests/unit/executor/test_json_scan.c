#include "tests/unit/unit.h"

#include <string.h>

#include "executor/proxy/json_scan.h"

static const struct json_scan_key keys[] = {{"model", 16}, {"usage", 64}};
static struct json_scan scan;

static void scan_in_pieces(const char *text, size_t piece)
{
	size_t len = strlen(text);
	json_scan_init(&scan, keys, 2);
	for (size_t at = 0; at < len; at += piece)
		json_scan_add(&scan, text + at, len - at < piece ? len - at : piece);
}

/* However it is cut, the values are these (NULL: none). */
static void values_are(const char *text, const char *model, const char *usage)
{
	const char *wanted[] = {model, usage};
	for (size_t piece = 1; piece <= strlen(text); piece++) {
		scan_in_pieces(text, piece);
		for (size_t key = 0; key < 2; key++) {
			size_t len = 0;
			const char *value = json_scan_value(&scan, key, &len);
			if (wanted[key] == NULL) {
				assert_null(value);
			} else {
				assert_non_null(value);
				assert_int_equal(len, strlen(wanted[key]));
				assert_memory_equal(value, wanted[key], len);
			}
		}
		json_scan_release(&scan);
	}
}

static void oddness_is(const char *text, bool odd)
{
	for (size_t piece = 1; piece <= strlen(text); piece++) {
		scan_in_pieces(text, piece);
		assert_int_equal(scan.odd, odd);
		json_scan_release(&scan);
	}
}

TEST(values_of_the_outermost_object_are_copied_as_they_are_written)
{
	values_are("{\"model\":\"m\",\"usage\":{\"a\":[1,2,{\"b\":\"}\"}]},\"x\":1}", "\"m\"",
			   "{\"a\":[1,2,{\"b\":\"}\"}]}");
	values_are(" { \"usage\" : -1.5e3 , \"model\" : null } ", "null", "-1.5e3");
	values_are("{\"model\":\"a\\\"b\\\\\",\"usage\":true}", "\"a\\\"b\\\\\"", "true");
}

TEST(keys_further_inside_and_in_strings_are_none)
{
	values_are("{\"x\":{\"model\":\"inner\"},\"y\":[{\"usage\":1}],\"z\":\"\\\"model\\\":\\\"no\\\"\"}", NULL, NULL);
	values_are("{\"x\":\"model\",\"model\":\"m\",\"y\":\"usage\"}", "\"m\"", NULL);
	values_are("{\"mode\":1,\"models\":2,\"a-key-that-is-longer-than-any-that-anybody-wants-model\":3}", NULL, NULL);
}

TEST(a_value_that_is_too_long_is_none)
{
	values_are("{\"model\":\"0123456789012345\",\"usage\":1}", NULL, "1");
	values_are("{\"model\":\"01234567890123\",\"usage\":1}", "\"01234567890123\"", "1");
}

TEST(what_parsers_may_read_differently_is_odd)
{
	oddness_is("{\"model\":\"a\",\"model\":\"b\"}", true);
	oddness_is("{\"mod\\u0065l\":\"a\"}", true);
	oddness_is("{\"other\\n\":\"a\"}", true);
	oddness_is("{\"model\":\"a\\n\",\"x\":{\"model\":\"b\",\"e\\n\":1},\"x\":1}", false);
}

TEST(its_end_is_seen_and_what_is_no_object_too)
{
	scan_in_pieces("{\"a\":[1,{}]}", 3);
	assert_true(scan.done);
	json_scan_reset(&scan);
	assert_false(scan.done);
	json_scan_add(&scan, "{\"a\":[1,{}]", 11);
	assert_false(scan.done);
	json_scan_release(&scan);
	scan_in_pieces(" [1]", 1);
	assert_true(scan.none);
	json_scan_release(&scan);
	scan_in_pieces("\"{\"", 1);
	assert_true(scan.none);
	json_scan_release(&scan);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(values_of_the_outermost_object_are_copied_as_they_are_written),
		cmocka_unit_test(keys_further_inside_and_in_strings_are_none),
		cmocka_unit_test(a_value_that_is_too_long_is_none),
		cmocka_unit_test(what_parsers_may_read_differently_is_odd),
		cmocka_unit_test(its_end_is_seen_and_what_is_no_object_too),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
