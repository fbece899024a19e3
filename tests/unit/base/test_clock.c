#include "tests/unit/unit.h"

#include <limits.h>

#include "common/base/clock.h"

TEST(boot_time_never_goes_back)
{
	int64_t last = clock_boot_us();
	for (int i = 0; i < 1000; i++) {
		int64_t now = clock_boot_us();
		assert_true(now >= last);
		last = now;
	}
	assert_true(clock_boot_ms() >= last / 1000);
}

TEST(wall_time_is_in_this_century)
{
	assert_in_range(clock_wall_us(), INT64_C(1600000000000000), INT64_C(4102444800000000));
}

TEST(a_passed_deadline_has_nothing_left)
{
	assert_int_equal(clock_left_ms(clock_boot_ms() - 1), 0);
	assert_int_equal(clock_left_ms(INT64_MIN), 0);
}

TEST(time_left_is_clamped_to_int)
{
	assert_int_equal(clock_left_ms(INT64_MAX), INT_MAX);
	assert_in_range(clock_left_ms(clock_boot_ms() + 1000000), 900000, 1000000);
}

static void assert_format(int64_t wall_us, const char *expected)
{
	char text[CLOCK_RFC3339_SIZE];
	clock_format_rfc3339(wall_us, text);
	assert_string_equal(text, expected);
}

TEST(times_are_written_in_utc_with_microseconds)
{
	assert_format(0, "1970-01-01T00:00:00.000000Z");
	assert_format(INT64_C(1795454400123456), "2026-11-23T17:20:00.123456Z");
	assert_format(INT64_C(951782400000000), "2000-02-29T00:00:00.000000Z");
	assert_format(-1, "1969-12-31T23:59:59.999999Z");
}

TEST(times_outside_of_four_digit_years_are_clamped)
{
	assert_format(INT64_MIN, "0000-01-01T00:00:00.000000Z");
	assert_format(INT64_MAX, "9999-12-31T23:59:59.999999Z");
}

static void assert_parse(const char *text, int64_t expected)
{
	int64_t wall_us = -7;
	assert_int_equal(clock_parse_rfc3339(text, strlen(text), &wall_us), 0);
	assert_int_equal(wall_us, expected);
}

TEST(offsets_and_fractions_are_taken)
{
	assert_parse("1970-01-01T00:00:00Z", 0);
	assert_parse("1970-01-01t00:00:00z", 0);
	assert_parse("1970-01-01T01:00:00+01:00", 0);
	assert_parse("1969-12-31T22:30:00-01:30", 0);
	assert_parse("1970-01-01T00:00:00.5Z", 500000);
	assert_parse("1970-01-01T00:00:00.123456789Z", 123456);
	assert_parse("2026-11-23T17:20:00.123456Z", INT64_C(1795454400123456));
	assert_parse("2016-12-31T23:59:60Z", INT64_C(1483228800000000));
}

TEST(what_is_no_rfc3339_time_is_refused_and_leaves_the_result_alone)
{
	static const char *const wrong[] = {
		"",
		"1970",
		"1970-01-01",
		"1970-01-01T00:00:00",
		"1970-01-01 00:00:00Z",
		"1970-13-01T00:00:00Z",
		"1970-00-01T00:00:00Z",
		"1970-02-29T00:00:00Z",
		"1900-02-29T00:00:00Z",
		"1970-01-32T00:00:00Z",
		"1970-01-00T00:00:00Z",
		"1970-01-01T24:00:00Z",
		"1970-01-01T00:60:00Z",
		"1970-01-01T00:00:61Z",
		"1970-01-01T00:00:00.Z",
		"1970-01-01T00:00:00+24:00",
		"1970-01-01T00:00:00+00:60",
		"1970-01-01T00:00:00+0000",
		"1970-01-01T00:00:00Zx",
		"+970-01-01T00:00:00Z",
		"1970-1-01T00:00:00Z",
	};
	for (size_t i = 0; i < ARRAY_LEN(wrong); i++) {
		int64_t wall_us = -7;
		assert_int_equal(clock_parse_rfc3339(wrong[i], strlen(wrong[i]), &wall_us), -1);
		assert_int_equal(wall_us, -7);
	}
}

TEST(what_is_written_reads_back)
{
	for (int64_t day = -719528; day < 2932896; day += 97) {
		int64_t wall_us = day * INT64_C(86400000000) + 12345678, back = 0;
		char text[CLOCK_RFC3339_SIZE];
		clock_format_rfc3339(wall_us, text);
		assert_int_equal(clock_parse_rfc3339(text, strlen(text), &back), 0);
		assert_int_equal(back, wall_us);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(boot_time_never_goes_back),
		cmocka_unit_test(wall_time_is_in_this_century),
		cmocka_unit_test(a_passed_deadline_has_nothing_left),
		cmocka_unit_test(time_left_is_clamped_to_int),
		cmocka_unit_test(times_are_written_in_utc_with_microseconds),
		cmocka_unit_test(times_outside_of_four_digit_years_are_clamped),
		cmocka_unit_test(offsets_and_fractions_are_taken),
		cmocka_unit_test(what_is_no_rfc3339_time_is_refused_and_leaves_the_result_alone),
		cmocka_unit_test(what_is_written_reads_back),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
