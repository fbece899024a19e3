#include "tests/unit/unit.h"

#include <string.h>

#include "api-gateway/http/field_list.h"

static struct slice slice(const char *text)
{
	return (struct slice){text, strlen(text)};
}

static void assert_slice(struct slice got, const char *wanted)
{
	assert_int_equal(got.len, strlen(wanted));
	assert_memory_equal(got.data, wanted, got.len);
}

/* `wanted` ends with NULL. */
static void assert_parts(const char *text, char separator, enum slice_quotes quotes, const char *const *wanted)
{
	struct slice rest = slice(text);
	for (; *wanted != NULL; wanted++) {
		assert_true(rest.len > 0);
		assert_slice(slice_next(&rest, separator, quotes), *wanted);
	}
	assert_int_equal(rest.len, 0);
}
#define PARTS(...) ((const char *const[]){__VA_ARGS__, NULL})

TEST(blanks_around_are_trimmed_and_those_inside_are_not)
{
	assert_slice(slice_trim(slice(" \ta \tb\t ")), "a \tb");
	assert_slice(slice_trim(slice("a")), "a");
	assert_slice(slice_trim(slice(" \t ")), "");
	assert_slice(slice_trim(slice("")), "");
	assert_slice(slice_trim(slice("\na\r")), "\na\r");
}

TEST(a_list_is_taken_apart_at_its_separators)
{
	assert_parts("a, b ;c,d", ',', SLICE_QUOTES_PLAIN, PARTS("a", "b ;c", "d"));
	assert_parts("a", ',', SLICE_QUOTES_PLAIN, PARTS("a"));
}

TEST(nothing_between_separators_is_an_empty_part_and_nothing_after_the_last_is_none)
{
	assert_parts(",a,,b, ", ',', SLICE_QUOTES_PLAIN, PARTS("", "a", "", "b", ""));
	assert_parts("a,", ',', SLICE_QUOTES_PLAIN, PARTS("a"));
}

TEST(quotes_hide_separators_only_where_they_are_to)
{
	assert_parts("a=\"b,c\",d", ',', SLICE_QUOTES_HIDE, PARTS("a=\"b,c\"", "d"));
	assert_parts("a=\"b,c\",d", ',', SLICE_QUOTES_PLAIN, PARTS("a=\"b", "c\"", "d"));
}

TEST(a_quote_after_a_backslash_ends_no_quotes)
{
	assert_parts("\"a\\\",b\",c", ',', SLICE_QUOTES_HIDE, PARTS("\"a\\\",b\"", "c"));
	assert_parts("a\\,b", ',', SLICE_QUOTES_HIDE, PARTS("a\\", "b"));
}

TEST(quotes_without_an_end_hide_the_rest)
{
	assert_parts("a,\"b,c\\", ',', SLICE_QUOTES_HIDE, PARTS("a", "\"b,c\\"));
}

TEST(an_absent_field_has_no_parts)
{
	struct slice rest = {NULL, 0};
	assert_int_equal(slice_next(&rest, ',', SLICE_QUOTES_HIDE).len, 0);
	assert_null(rest.data);
	assert_int_equal(slice_trim(rest).len, 0);
}

TEST(capital_letters_are_equal_to_small_ones)
{
	assert_true(slice_equals(slice("GZip"), "gzip"));
	assert_false(slice_equals(slice("gzip2"), "gzip"));
	assert_false(slice_equals(slice("gzi"), "gzip"));
	assert_true(slice_equals((struct slice){"", 0}, ""));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(blanks_around_are_trimmed_and_those_inside_are_not),
		cmocka_unit_test(a_list_is_taken_apart_at_its_separators),
		cmocka_unit_test(nothing_between_separators_is_an_empty_part_and_nothing_after_the_last_is_none),
		cmocka_unit_test(quotes_hide_separators_only_where_they_are_to),
		cmocka_unit_test(a_quote_after_a_backslash_ends_no_quotes),
		cmocka_unit_test(quotes_without_an_end_hide_the_rest),
		cmocka_unit_test(an_absent_field_has_no_parts),
		cmocka_unit_test(capital_letters_are_equal_to_small_ones),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
