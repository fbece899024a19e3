#include "tests/unit/unit.h"

#include <math.h>

#include "common/json/json_internal.h"

static void assert_double(double value, const char *expected)
{
	char text[JSON_NUMBER_SIZE];
	size_t len = json_format_double(value, text);
	assert_string_equal(text, expected);
	assert_int_equal(len, strlen(expected));
	assert_true(strtod(text, NULL) == value);
}

static double from_bits(uint64_t bits)
{
	double value;
	memcpy(&value, &bits, sizeof(value));
	return value;
}

/* RFC 8785, appendix B. */
TEST(doubles_are_written_as_rfc_8785_lists_them)
{
	static const struct {
		uint64_t bits;
		const char *text;
	} cases[] = {
		{0x0000000000000000, "0"},
		{0x8000000000000000, "0"},
		{0x0000000000000001, "5e-324"},
		{0x8000000000000001, "-5e-324"},
		{0x7fefffffffffffff, "1.7976931348623157e+308"},
		{0xffefffffffffffff, "-1.7976931348623157e+308"},
		{0x4340000000000000, "9007199254740992"},
		{0xc340000000000000, "-9007199254740992"},
		{0x4430000000000000, "295147905179352830000"},
		{0x44b52d02c7e14af5, "9.999999999999997e+22"},
		{0x44b52d02c7e14af6, "1e+23"},
		{0x44b52d02c7e14af7, "1.0000000000000001e+23"},
		{0x444b1ae4d6e2ef4e, "999999999999999700000"},
		{0x444b1ae4d6e2ef4f, "999999999999999900000"},
		{0x444b1ae4d6e2ef50, "1e+21"},
		{0x3eb0c6f7a0b5ed8c, "9.999999999999997e-7"},
		{0x3eb0c6f7a0b5ed8d, "0.000001"},
		{0x41b3de4355555553, "333333333.3333332"},
		{0x41b3de4355555554, "333333333.33333325"},
		{0x41b3de4355555555, "333333333.3333333"},
		{0x41b3de4355555556, "333333333.3333334"},
		{0x41b3de4355555557, "333333333.33333343"},
		{0xbecbf647612f3696, "-0.0000033333333333333333"},
		{0x43143ff3c1cb0959, "1424953923781206.2"},
	};
	for (size_t i = 0; i < ARRAY_LEN(cases); i++)
		assert_double(from_bits(cases[i].bits), cases[i].text);
}

TEST(powers_of_two_get_their_shortest_form)
{
	assert_double(ldexp(1, -44), "5.684341886080802e-14");
	assert_double(ldexp(1, -1074), "5e-324");
	assert_double(ldexp(1, 60), "1152921504606847000");
}

TEST(common_decimals_stay_short)
{
	assert_double(0.1, "0.1");
	assert_double(-1.5, "-1.5");
	assert_double(0.000001, "0.000001");
	assert_double(1e-7, "1e-7");
	assert_double(123456789012345680000.0, "123456789012345680000");
	assert_double(1e15, "1000000000000000");
	assert_double(999999999999999.0, "999999999999999");
	assert_double(0.012345, "0.012345");
}

TEST(every_power_of_two_reads_back)
{
	char text[JSON_NUMBER_SIZE];
	for (int exponent = -1074; exponent < 1024; exponent++) {
		double value = ldexp(1, exponent);
		assert_true(json_format_double(value, text) < JSON_NUMBER_SIZE);
		assert_true(strtod(text, NULL) == value);
	}
}

TEST(random_doubles_read_back)
{
	uint64_t random = 88172645463325252;
	for (int i = 0; i < 20000; i++) {
		random ^= random << 13;
		random ^= random >> 7;
		random ^= random << 17;
		double value = from_bits(random);
		char text[JSON_NUMBER_SIZE];
		if (!isfinite(value))
			continue;
		assert_true(json_format_double(value, text) < JSON_NUMBER_SIZE);
		assert_true(strtod(text, NULL) == value);
	}
}

TEST(integers_of_any_size_are_written)
{
	char text[JSON_NUMBER_SIZE];
	assert_int_equal(json_format_int(INT64_MIN, text), 20);
	assert_string_equal(text, "-9223372036854775808");
	assert_int_equal(json_format_int(INT64_MAX, text), 19);
	assert_string_equal(text, "9223372036854775807");
	assert_int_equal(json_format_int(0, text), 1);
	assert_string_equal(text, "0");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(doubles_are_written_as_rfc_8785_lists_them),
		cmocka_unit_test(powers_of_two_get_their_shortest_form),
		cmocka_unit_test(common_decimals_stay_short),
		cmocka_unit_test(every_power_of_two_reads_back),
		cmocka_unit_test(random_doubles_read_back),
		cmocka_unit_test(integers_of_any_size_are_written),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
