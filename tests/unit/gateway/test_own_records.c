#include "tests/unit/unit.h"

#include "api-gateway/builds/own_records.h"

#define A "00000000-0000-7000-8000-00000000000a"
#define B "00000000-0000-7000-8000-00000000000b"

static struct own_records *own;

static int setup(void **state UNUSED)
{
	own = own_records_new();
	return 0;
}

static int teardown(void **state UNUSED)
{
	own_records_free(own);
	return 0;
}

TEST(nothing_is_there_at_first)
{
	assert_false(own_records_has(own, A, 0, 0));
}

TEST(a_record_is_known_by_its_place_and_its_id)
{
	own_records_add(own, A, 3, 7);
	assert_true(own_records_has(own, A, 3, 7));
	assert_false(own_records_has(own, B, 3, 7)); /* the log was cut, and another one is there now */
	assert_false(own_records_has(own, A, 3, 8)); /* the same one, written twice */
	assert_false(own_records_has(own, A, 4, 7));
}

TEST(those_that_follow_one_another_are_all_known)
{
	for (int64_t offset = 5000; offset < 6000; offset++)
		own_records_add(own, offset % 2 == 0 ? A : B, 11, offset);
	for (int64_t offset = 5000; offset < 6000; offset++)
		assert_true(own_records_has(own, offset % 2 == 0 ? A : B, 11, offset));
}

TEST(old_ones_give_way)
{
	for (int64_t offset = 0; offset < 100000; offset++)
		own_records_add(own, A, 0, offset);
	assert_false(own_records_has(own, A, 0, 0));
	assert_true(own_records_has(own, A, 0, 99999));
}

#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(nothing_is_there_at_first),
		T(a_record_is_known_by_its_place_and_its_id),
		T(those_that_follow_one_another_are_all_known),
		T(old_ones_give_way),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
