#include "tests/unit/unit.h"

#include <limits.h>

#include "common/base/backoff.h"

TEST(the_waits_double_up_to_the_ceiling)
{
	struct backoff backoff = {.min_ms = 100, .max_ms = 500};
	const int wanted[] = {100, 200, 400, 500, 500};
	for (size_t i = 0; i < ARRAY_LEN(wanted); i++) {
		assert_int_equal(backoff_next(&backoff), wanted[i]);
		assert_int_equal(backoff.now_ms, wanted[i]);
	}
}

TEST(after_a_success_they_begin_anew)
{
	struct backoff backoff = {.min_ms = 100, .max_ms = 500};
	assert_int_equal(backoff_next(&backoff), 100);
	assert_int_equal(backoff_next(&backoff), 200);
	backoff_clear(&backoff);
	assert_int_equal(backoff.now_ms, 0);
	assert_int_equal(backoff_next(&backoff), 100);
}

TEST(a_first_wait_past_the_ceiling_is_the_ceiling)
{
	struct backoff backoff = {.min_ms = 600, .max_ms = 500};
	assert_int_equal(backoff_next(&backoff), 500);
	assert_int_equal(backoff_next(&backoff), 500);
}

TEST(the_largest_ceiling_is_reached_without_an_overflow)
{
	struct backoff backoff = {.min_ms = INT_MAX / 2, .max_ms = INT_MAX};
	assert_int_equal(backoff_next(&backoff), INT_MAX / 2);
	assert_int_equal(backoff_next(&backoff), INT_MAX - 1);
	assert_int_equal(backoff_next(&backoff), INT_MAX);
	assert_int_equal(backoff_next(&backoff), INT_MAX);
}

TEST(a_spread_wait_is_from_a_half_to_one_and_a_half_and_doubles_all_the_same)
{
	int below = 0, above = 0;
	for (int i = 0; i < 1000; i++) {
		struct backoff backoff = {.min_ms = 100, .max_ms = 500};
		int wait_ms = backoff_next_spread(&backoff);
		assert_in_range(wait_ms, 50, 149);
		below += wait_ms < 100;
		above += wait_ms >= 100;
		assert_int_equal(backoff.now_ms, 100);
		assert_in_range(backoff_next_spread(&backoff), 100, 299);
	}
	assert_true(below > 0 && above > 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_waits_double_up_to_the_ceiling),
		cmocka_unit_test(after_a_success_they_begin_anew),
		cmocka_unit_test(a_first_wait_past_the_ceiling_is_the_ceiling),
		cmocka_unit_test(the_largest_ceiling_is_reached_without_an_overflow),
		cmocka_unit_test(a_spread_wait_is_from_a_half_to_one_and_a_half_and_doubles_all_the_same),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
