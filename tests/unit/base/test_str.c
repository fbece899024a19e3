#include "tests/unit/unit.h"

#include <limits.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>

#include "common/base/alloc.h"
#include "common/base/str.h"

static struct buffer buf;
static struct error err;

static int setup(void **state)
{
	(void)state;
	buffer_init(&buf, 1000);
	err = (struct error)ERROR_INIT;
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	buffer_release(&buf);
	return 0;
}

TEST(null_equals_null_only)
{
	assert_true(str_equal(NULL, NULL));
	assert_false(str_equal(NULL, ""));
	assert_false(str_equal("", NULL));
	assert_true(str_equal("a", "a"));
	assert_false(str_equal("a", "b"));
}

TEST(starts_and_ends)
{
	assert_true(str_starts("abc", "ab") && str_starts("abc", ""));
	assert_false(str_starts("ab", "abc"));
	assert_true(str_ends("abc", "bc") && str_ends("abc", ""));
	assert_false(str_ends("bc", "abc") || str_ends("abd", "bc"));
}

TEST(constant_time_equality_sees_any_difference)
{
	assert_true(str_equal_constant_time("a\0b", "a\0b", 3));
	assert_false(str_equal_constant_time("abc", "abd", 3));
	assert_true(str_equal_constant_time("", "", 0));
}

#define BEYOND_EXIT 7
/* An early exit is seen only far behind it: a memcmp may load whole vectors, and a few of them, before it looks. */
#define COMPARED 4096
#define NEAR 32

static void fault(int number UNUSED)
{
	_exit(BEYOND_EXIT);
}

/* Compares bytes of which the last one is not readable; ends in `fault` if it is looked at. */
static void compare_to_the_end(void *arg)
{
	const char *const *pair = arg;
	CHECK(signal(SIGSEGV, fault) != SIG_ERR);
	(void)str_equal_constant_time(pair[0], pair[1], COMPARED);
}

/* Time cannot be measured so exactly in a test; that nothing is left out can be seen. */
TEST(constant_time_equality_looks_at_every_byte_wherever_the_first_difference_is)
{
	size_t page = (size_t)sysconf(_SC_PAGESIZE);
	char *pages = mmap(NULL, 2 * page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	assert_ptr_not_equal(pages, MAP_FAILED);
	assert_int_equal(mprotect(pages + page, page, PROT_NONE), 0);
	static const char other[COMPARED] = {0};
	char *cut = pages + page - (COMPARED - 1);
	for (int at = -1; at < NEAR; at++) { /* -1: no difference */
		memset(cut, 0, COMPARED - 1);
		if (at >= 0)
			cut[at] = 'x';
		const char *pair[] = {cut, other};
		CLEANUP(buffer_release_p) struct buffer output;
		int status = unit_run_in_child(compare_to_the_end, pair, &output);
		assert_true(WIFEXITED(status));
		assert_int_equal(WEXITSTATUS(status), BEYOND_EXIT);
	}
	assert_int_equal(munmap(pages, 2 * page), 0);
}

static int parse_int(const char *text, int64_t min, int64_t max, int64_t *ret)
{
	return str_parse_int(text, strlen(text), min, max, ret, &err);
}

TEST(numbers_within_the_range_are_read)
{
	int64_t value = 0;
	assert_int_equal(parse_int("0", 0, 10, &value), 0);
	assert_int_equal(value, 0);
	assert_int_equal(parse_int("007", 0, 10, &value), 0);
	assert_int_equal(value, 7);
	assert_int_equal(parse_int("-5", -10, 10, &value), 0);
	assert_int_equal(value, -5);
	assert_int_equal(parse_int("9223372036854775807", 0, INT64_MAX, &value), 0);
	assert_true(value == INT64_MAX);
	assert_int_equal(parse_int("-9223372036854775808", INT64_MIN, 0, &value), 0);
	assert_true(value == INT64_MIN);
}

TEST(only_the_given_length_of_a_number_is_read)
{
	int64_t value = 0;
	assert_int_equal(str_parse_int("123", 2, 0, 1000, &value, &err), 0);
	assert_int_equal(value, 12);
}

TEST(what_is_no_number_in_the_range_is_refused_and_leaves_the_result_alone)
{
	static const char *const wrong[] = {"",
										"-",
										"+1",
										" 1",
										"1 ",
										"1x",
										"0x1",
										"1.0",
										"101",
										"-11",
										"9223372036854775808",
										"--1",
										"-9223372036854775809",
										"99999999999999999999999"};
	for (size_t i = 0; i < ARRAY_LEN(wrong); i++) {
		int64_t value = -7;
		assert_int_equal(parse_int(wrong[i], -10, 100, &value), -1);
		assert_int_equal(err.kind, ERR_INVALID);
		assert_int_equal(value, -7);
	}
}

TEST(a_minus_is_refused_when_the_range_has_no_negative_numbers)
{
	int64_t value;
	assert_int_equal(parse_int("-0", 0, 10, &value), -1);
	assert_int_equal(parse_int("-1", 0, 10, &value), -1);
}

TEST(eight_words_are_booleans)
{
	static const char *const yes[] = {"true", "1", "yes", "on"}, *const no[] = {"false", "0", "no", "off"};
	for (size_t i = 0; i < 4; i++) {
		bool value = false;
		assert_int_equal(str_parse_bool(yes[i], &value, &err), 0);
		assert_true(value);
		assert_int_equal(str_parse_bool(no[i], &value, &err), 0);
		assert_false(value);
	}
	bool untouched = true;
	assert_int_equal(str_parse_bool("TRUE", &untouched, &err), -1);
	assert_int_equal(str_parse_bool("", &untouched, &err), -1);
	assert_true(untouched);
}

static bool utf8(const char *text)
{
	return str_is_utf8(text, strlen(text));
}

TEST(valid_utf8_is_accepted)
{
	assert_true(utf8("") && utf8("plain ascii, more than eight bytes") && utf8("äöü€😀"));
	assert_true(str_is_utf8("\0", 1));
	assert_true(utf8("\xED\x9F\xBF") && utf8("\xEE\x80\x80") && utf8("\xF4\x8F\xBF\xBF") && utf8("\xC2\x80"));
	assert_true(utf8("12345678äbcdefgh"));
}

TEST(invalid_utf8_is_refused)
{
	static const char *const wrong[] = {
		"\x80",
		"\xBF",
		"\xC0\x80",
		"\xC1\xBF",
		"\xC2",
		"\xE0\x80\x80",
		"\xE0\x9F\xBF",
		"\xED\xA0\x80",
		"\xED\xBF\xBF",
		"\xE2\x82",
		"\xF0\x80\x80\x80",
		"\xF0\x8F\xBF\xBF",
		"\xF4\x90\x80\x80",
		"\xF5\x80\x80\x80",
		"\xFF",
		"12345678\x80",
		"\xF0\x9F\x98",
		"\xC3(",
	};
	for (size_t i = 0; i < ARRAY_LEN(wrong); i++)
		assert_false(utf8(wrong[i]));
}

TEST(a_cut_sequence_at_the_end_is_not_read_past)
{
	CLEANUP(free_p) char *exact = xmemdup("abc\xE2\x82", 5);
	assert_false(str_is_utf8(exact, 5));
}

static void assert_lossy(const char *text, size_t len, const char *expected)
{
	buffer_clear(&buf);
	assert_int_equal(str_append_utf8_lossy(&buf, text, len), 0);
	assert_string_equal(buf.data, expected);
}

TEST(invalid_sequences_and_nul_are_replaced)
{
	assert_lossy("plain €", 9, "plain €");
	assert_lossy("", 0, "");
	assert_lossy("a\0b", 3, "a\uFFFDb");
	assert_lossy("\xFF\xFE", 2, "\uFFFD\uFFFD");
	assert_lossy("\xE2\x82", 2, "\uFFFD");
	assert_lossy("\xE2\x82x", 3, "\uFFFDx");
	assert_lossy("\xF0\x9F\x98z", 4, "\uFFFDz");
	assert_lossy("\xED\xA0\x80", 3, "\uFFFD\uFFFD\uFFFD");
}

TEST(lossy_text_that_does_not_fit_is_an_error)
{
	CLEANUP(buffer_release_p) struct buffer small;
	buffer_init(&small, 4);
	assert_int_equal(str_append_utf8_lossy(&small, "\xFF\xFF", 2), -1);
}

TEST(names_follow_the_project_rule)
{
	assert_true(str_is_name("a", 1) && str_is_name("0-9", 3));
	char longest[64];
	memset(longest, 'a', sizeof(longest));
	assert_true(str_is_name(longest, 63));
	assert_false(str_is_name(longest, 64));
	assert_false(str_is_name("", 0) || str_is_name("-a", 2) || str_is_name("A", 1) || str_is_name("a_b", 3));
}

TEST(object_names_have_40_or_64_small_hex_digits)
{
	char name[66];
	memset(name, 'f', sizeof(name));
	assert_true(str_is_sha(name, 40) && str_is_sha(name, 64));
	assert_false(str_is_sha(name, 0) || str_is_sha(name, 39) || str_is_sha(name, 41) || str_is_sha(name, 65));
	assert_true(str_is_hex("0123456789abcdef", 16) && str_is_hex("", 0));
	assert_false(str_is_hex("g", 1) || str_is_hex("A", 1) || str_is_hex("/", 1) || str_is_hex(":", 1) ||
				 str_is_hex("`", 1));
}

TEST(splitting_trims_and_drops_empty_parts)
{
	char **list = strv_split(" a, b c ,,\t,d\n", ',');
	assert_int_equal(strv_len(list), 3);
	assert_string_equal(list[0], "a");
	assert_string_equal(list[1], "b c");
	assert_string_equal(list[2], "d");
	assert_true(strv_contains(list, "d"));
	assert_false(strv_contains(list, "b"));
	strv_free(list);
}

TEST(lists_of_nothing_are_empty)
{
	char **list = strv_split(NULL, ',');
	assert_int_equal(strv_len(list), 0);
	strv_free(list);
	assert_int_equal(strv_len(NULL), 0);
	assert_false(strv_contains(NULL, "x"));
	strv_free(NULL);
}

TEST(a_list_may_be_long)
{
	for (int i = 0; i < 100; i++)
		assert_int_equal(buffer_append_str(&buf, "ab,"), 0);
	char **list = strv_split(buf.data, ',');
	assert_int_equal(strv_len(list), 100);
	strv_free(list);
}

static int stop_at_b(void *ctx, const char *part, size_t len)
{
	(*(int *)ctx)++;
	return len == 1 && *part == 'b' ? 7 : 0;
}

TEST(splitting_ends_when_the_callback_says_so)
{
	int calls = 0;
	assert_int_equal(str_split("a b c", ' ', stop_at_b, &calls), 7);
	assert_int_equal(calls, 2);
}

TEST(hex_goes_both_ways)
{
	char text[7];
	uint8_t bytes[3];
	hex_encode("\x00\xAB\xFF", 3, text);
	assert_string_equal(text, "00abff");
	assert_int_equal(hex_decode("00aBFf", 6, bytes, 3), 0);
	assert_memory_equal(bytes, "\x00\xAB\xFF", 3);
}

TEST(wrong_hex_is_refused)
{
	uint8_t bytes[2] = {7, 7};
	assert_int_equal(hex_decode("00a", 3, bytes, 2), -1);
	assert_int_equal(hex_decode("00", 2, bytes, 2), -1);
	assert_int_equal(hex_decode("0g00", 4, bytes, 2), -1);
	assert_int_equal(bytes[0], 7);
}

/* RFC 4648, section 10. */
static const char *const base64_cases[][2] = {
	{"", ""},
	{"f", "Zg=="},
	{"fo", "Zm8="},
	{"foo", "Zm9v"},
	{"foob", "Zm9vYg=="},
	{"fooba", "Zm9vYmE="},
	{"foobar", "Zm9vYmFy"},
	{"\xFB\xFF", "+/8="},
};

TEST(base64_is_written_with_padding)
{
	for (size_t i = 0; i < ARRAY_LEN(base64_cases); i++) {
		buffer_clear(&buf);
		assert_int_equal(base64_append(&buf, base64_cases[i][0], strlen(base64_cases[i][0])), 0);
		assert_string_equal(buf.data, base64_cases[i][1]);
	}
}

TEST(base64_is_read_with_and_without_padding)
{
	for (size_t i = 0; i < ARRAY_LEN(base64_cases); i++) {
		const char *text = base64_cases[i][1];
		buffer_clear(&buf);
		assert_int_equal(base64_decode(&buf, text, strlen(text), &err), 0);
		assert_string_equal(buf.data, base64_cases[i][0]);
		buffer_clear(&buf);
		assert_int_equal(base64_decode(&buf, text, strcspn(text, "="), &err), 0);
		assert_string_equal(buf.data, base64_cases[i][0]);
	}
}

TEST(url_safe_base64_has_no_padding)
{
	assert_int_equal(base64url_append(&buf, "\xFB\xFF", 2), 0);
	assert_string_equal(buf.data, "-_8");
}

TEST(wrong_base64_is_refused_and_appends_nothing)
{
	static const char *const wrong[] = {
		"Z", "Zg=", "Zg===", "=", "====", "Zh==", "Zm9=", "Zm9v!", "Zm 9v", "-_8=", "Zg==Zg==", "Zm9vZ"};
	for (size_t i = 0; i < ARRAY_LEN(wrong); i++) {
		assert_int_equal(base64_decode(&buf, wrong[i], strlen(wrong[i]), &err), -1);
		assert_int_equal(err.kind, ERR_INVALID);
		assert_int_equal(buf.len, 0);
	}
}

TEST(base64_that_does_not_fit_is_an_error)
{
	CLEANUP(buffer_release_p) struct buffer small;
	buffer_init(&small, 2);
	assert_int_equal(base64_append(&small, "abc", 3), -1);
	assert_false(buffer_ok(&small));
	buffer_clear(&small);
	assert_int_equal(base64_decode(&small, "Zm9v", 4, &err), -1);
	assert_int_equal(err.kind, ERR_LIMIT);
}

TEST(percent_escapes_are_decoded)
{
	assert_int_equal(url_decode(&buf, "a%20b%C3%A4+", 13, false, &err), -1); /* the length passes the text: NUL */
	assert_int_equal(url_decode(&buf, "a%20b%C3%a4+", 12, false, &err), 0);
	assert_string_equal(buf.data, "a bä+");
	buffer_clear(&buf);
	assert_int_equal(url_decode(&buf, "a+b", 3, true, &err), 0);
	assert_string_equal(buf.data, "a b");
}

TEST(bad_escapes_nul_and_invalid_utf8_are_refused_and_append_nothing)
{
	static const char *const wrong[] = {"%", "%4", "a%zz", "%00", "%ff", "%C3", "%u0041"};
	for (size_t i = 0; i < ARRAY_LEN(wrong); i++) {
		assert_int_equal(url_decode(&buf, wrong[i], strlen(wrong[i]), false, &err), -1);
		assert_int_equal(err.kind, ERR_INVALID);
		assert_int_equal(buf.len, 0);
	}
}

TEST(a_url_that_does_not_fit_is_an_error)
{
	CLEANUP(buffer_release_p) struct buffer small;
	buffer_init(&small, 2);
	assert_int_equal(url_decode(&small, "abc", 3, false, &err), -1);
	assert_int_equal(err.kind, ERR_LIMIT);
	assert_int_equal(url_encode(&small, "abc", 3), -1);
}

TEST(all_but_unreserved_characters_are_percent_encoded)
{
	assert_int_equal(url_encode(&buf, "aZ9-._~ /ä", 11), 0);
	assert_string_equal(buf.data, "aZ9-._~%20%2F%C3%A4");
}

#define UNIT(test) cmocka_unit_test_setup_teardown(test, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		UNIT(null_equals_null_only),
		UNIT(starts_and_ends),
		UNIT(constant_time_equality_sees_any_difference),
		UNIT(constant_time_equality_looks_at_every_byte_wherever_the_first_difference_is),
		UNIT(numbers_within_the_range_are_read),
		UNIT(only_the_given_length_of_a_number_is_read),
		UNIT(what_is_no_number_in_the_range_is_refused_and_leaves_the_result_alone),
		UNIT(a_minus_is_refused_when_the_range_has_no_negative_numbers),
		UNIT(eight_words_are_booleans),
		UNIT(valid_utf8_is_accepted),
		UNIT(invalid_utf8_is_refused),
		UNIT(a_cut_sequence_at_the_end_is_not_read_past),
		UNIT(invalid_sequences_and_nul_are_replaced),
		UNIT(lossy_text_that_does_not_fit_is_an_error),
		UNIT(names_follow_the_project_rule),
		UNIT(object_names_have_40_or_64_small_hex_digits),
		UNIT(splitting_trims_and_drops_empty_parts),
		UNIT(lists_of_nothing_are_empty),
		UNIT(a_list_may_be_long),
		UNIT(splitting_ends_when_the_callback_says_so),
		UNIT(hex_goes_both_ways),
		UNIT(wrong_hex_is_refused),
		UNIT(base64_is_written_with_padding),
		UNIT(base64_is_read_with_and_without_padding),
		UNIT(url_safe_base64_has_no_padding),
		UNIT(wrong_base64_is_refused_and_appends_nothing),
		UNIT(base64_that_does_not_fit_is_an_error),
		UNIT(percent_escapes_are_decoded),
		UNIT(bad_escapes_nul_and_invalid_utf8_are_refused_and_append_nothing),
		UNIT(a_url_that_does_not_fit_is_an_error),
		UNIT(all_but_unreserved_characters_are_percent_encoded),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
