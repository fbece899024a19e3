#include "tests/unit/unit.h"

#include "common/base/ids.h"
#include "executor/daemon/over.h"

static struct over over;

static int begin(void **state)
{
	(void)state;
	over = (struct over){.next = 0};
	return 0;
}

TEST(what_is_over_is_known_and_nothing_else)
{
	char one[UUID_TEXT_SIZE], other[UUID_TEXT_SIZE];
	uuid_v4(one);
	uuid_v4(other);
	assert_false(over_has(&over, one));
	over_add(&over, one);
	over_add(&over, one);
	assert_true(over_has(&over, one));
	assert_false(over_has(&over, other));
	assert_int_equal(over.next, 1);
}

TEST(the_last_ones_are_kept)
{
	char ids[OVER_MAX + 2][UUID_TEXT_SIZE];
	for (size_t i = 0; i < OVER_MAX + 2; i++) {
		uuid_v4(ids[i]);
		over_add(&over, ids[i]);
	}
	assert_false(over_has(&over, ids[1]));
	assert_true(over_has(&over, ids[2]));
	assert_true(over_has(&over, ids[OVER_MAX + 1]));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(what_is_over_is_known_and_nothing_else, begin),
		cmocka_unit_test_setup(the_last_ones_are_kept, begin),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
