#include "tests/unit/unit.h"

#include <string.h>

#include "api-gateway/http/range.h"

static int64_t first, len;

static enum range read_range(const char *value, int64_t size)
{
	first = len = -1;
	return range_read(value, strlen(value), size, &first, &len);
}

static void assert_range(const char *value, int64_t size, int64_t wanted_first, int64_t wanted_len)
{
	assert_int_equal(read_range(value, size), RANGE_ONE);
	assert_int_equal(first, wanted_first);
	assert_int_equal(len, wanted_len);
}

TEST(one_range_is_cut_to_what_is_there)
{
	assert_range("bytes=0-0", 10, 0, 1);
	assert_range("bytes=2-5", 10, 2, 4);
	assert_range("bytes=2-", 10, 2, 8);
	assert_range("bytes=9-100", 10, 9, 1);
	assert_range("bytes=0-9223372036854775807", 10, 0, 10);
	assert_range("bytes=0-99999999999999999999999", 10, 0, 10);
	assert_range("Bytes= 1-2 ", 10, 1, 2);
}

TEST(a_suffix_is_the_last_bytes)
{
	assert_range("bytes=-3", 10, 7, 3);
	assert_range("bytes=-30", 10, 0, 10);
	assert_int_equal(read_range("bytes=-0", 10), RANGE_NEVER);
}

TEST(a_range_after_the_end_is_never_there)
{
	assert_int_equal(read_range("bytes=10-", 10), RANGE_NEVER);
	assert_int_equal(read_range("bytes=99999999999999999999-", 10), RANGE_NEVER);
	assert_int_equal(read_range("bytes=0-", 0), RANGE_NEVER);
	assert_int_equal(read_range("bytes=-5", 0), RANGE_NONE);
}

TEST(what_is_no_single_range_of_bytes_is_as_if_it_were_not_there)
{
	static const char *const none[] = {"",           "bytes",     "bytes=",        "bytes=-",     "bytes=5",
									   "bytes=5-2",  "bytes=a-b", "bytes=1-2,4-5", "bytes=1-2x",  "bytes=+1-2",
									   "bytes=1--2", "lines=1-2", "bytes=--1",     "bytes= 1 - 2"};
	for (size_t i = 0; i < ARRAY_LEN(none); i++)
		assert_int_equal(read_range(none[i], 10), RANGE_NONE);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(one_range_is_cut_to_what_is_there),
		cmocka_unit_test(a_suffix_is_the_last_bytes),
		cmocka_unit_test(a_range_after_the_end_is_never_there),
		cmocka_unit_test(what_is_no_single_range_of_bytes_is_as_if_it_were_not_there),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
