#include "tests/unit/unit.h"

#include "api-gateway/http/prefer.h"

static int64_t wait_of(const char *value)
{
	return prefer_wait(value, value != NULL ? strlen(value) : 0);
}

TEST(the_seconds_are_those_of_wait)
{
	assert_int_equal(wait_of("wait=10"), 10);
	assert_int_equal(wait_of("Wait = 10"), 10);
	assert_int_equal(wait_of(" wait=\"7\" "), 7);
	assert_int_equal(wait_of("wait=0"), 0);
	assert_int_equal(wait_of("wait=5; foo=bar"), 5);
}

TEST(other_preferences_are_passed_over)
{
	assert_int_equal(wait_of("respond-async, wait=10"), 10);
	assert_int_equal(wait_of("return=representation;wait=3, , wait=4"), 4);
	assert_int_equal(wait_of("x=\"a, wait=1\\\", wait=2\", wait=3"), 3);
	assert_int_equal(wait_of("waiting=1, await=2"), -1);
}

TEST(the_first_of_two_counts)
{
	assert_int_equal(wait_of("wait=1, wait=2"), 1);
	assert_int_equal(wait_of("wait=soon, wait=2"), -1);
}

TEST(what_makes_no_sense_is_no_wait)
{
	static const char *const bad[] = {NULL, "", "wait", "wait=", "wait=-1", "wait=1.5", "wait=\"1", "wait=1 2", ",;=,"};
	for (size_t i = 0; i < ARRAY_LEN(bad); i++)
		assert_int_equal(wait_of(bad[i]), -1);
}

TEST(more_seconds_than_a_number_holds_are_many)
{
	assert_int_equal(wait_of("wait=99999999999999999999999999"), PREFER_WAIT_MAX);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_seconds_are_those_of_wait),
		cmocka_unit_test(other_preferences_are_passed_over),
		cmocka_unit_test(the_first_of_two_counts),
		cmocka_unit_test(what_makes_no_sense_is_no_wait),
		cmocka_unit_test(more_seconds_than_a_number_holds_are_many),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
