#include "tests/unit/unit.h"

#include "api-gateway/requests/wait_limit.h"

#define PATIENCE_MS 500

static struct wait_limit limit;

static int setup(void **state)
{
	(void)state;
	wait_limit_init(&limit, 2, PATIENCE_MS);
	return 0;
}

static void enter(int count, int64_t now_ms)
{
	for (int i = 0; i < count; i++)
		assert_true(wait_limit_enter(&limit, now_ms));
}

TEST(as_many_as_there_are_wait_for_what_comes)
{
	enter(8, 1000);
	for (int i = 0; i < 8; i++)
		wait_limit_leave(&limit, WAIT_CAME, 1010);
	enter(8, 9000);
	assert_false(wait_limit_stays_away(&limit, 9010));
}

TEST(when_one_has_waited_in_vain_only_some_may)
{
	enter(1, 1000);
	wait_limit_leave(&limit, WAIT_MISSED, 1100);
	enter(2, 1100);
	assert_false(wait_limit_enter(&limit, 1100));
	assert_false(wait_limit_enter(&limit, 1100));
}

TEST(who_leaves_gives_his_place_to_another)
{
	enter(1, 1000);
	wait_limit_leave(&limit, WAIT_MISSED, 1100);
	enter(2, 1100);
	assert_false(wait_limit_enter(&limit, 1100));
	wait_limit_leave(&limit, WAIT_MISSED, 1200);
	enter(1, 1200);
	assert_false(wait_limit_enter(&limit, 1200));
}

TEST(it_stays_away_when_nobody_who_waits_gets_it_for_a_while)
{
	enter(8, 1000);
	assert_false(wait_limit_stays_away(&limit, 1000 + PATIENCE_MS - 1));
	assert_true(wait_limit_stays_away(&limit, 1000 + PATIENCE_MS));
	assert_false(wait_limit_enter(&limit, 1000 + PATIENCE_MS));
}

TEST(others_get_it_so_it_does_not_stay_away_from_who_waits_long)
{
	enter(3, 1000);
	wait_limit_leave(&limit, WAIT_CAME, 1400);
	assert_false(wait_limit_stays_away(&limit, 1000 + PATIENCE_MS));
	enter(1, 1000 + PATIENCE_MS);
}

TEST(it_does_not_stay_away_while_nobody_waits)
{
	enter(1, 1000);
	wait_limit_leave(&limit, WAIT_CAME, 1010);
	assert_false(wait_limit_stays_away(&limit, 100000));
}

TEST(the_first_who_gets_it_lets_all_others_in)
{
	enter(1, 1000);
	wait_limit_leave(&limit, WAIT_MISSED, 1100);
	enter(2, 1100);
	wait_limit_leave(&limit, WAIT_CAME, 1200);
	enter(8, 1200);
}

TEST(that_it_was_missed_is_forgotten_when_nobody_has_waited_since)
{
	enter(1, 1000);
	wait_limit_leave(&limit, WAIT_MISSED, 1100);
	assert_true(wait_limit_stays_away(&limit, 1100 + WAIT_LIMIT_MEMORY_MS - 1));
	enter(8, 1100 + WAIT_LIMIT_MEMORY_MS);
}

TEST(a_wait_that_ended_otherwise_tells_nothing)
{
	enter(1, 1000);
	wait_limit_leave(&limit, WAIT_UNTOLD, 1100);
	assert_false(wait_limit_stays_away(&limit, 1100));
	enter(1, 1100);
	wait_limit_leave(&limit, WAIT_MISSED, 1200);
	enter(1, 1200);
	wait_limit_leave(&limit, WAIT_UNTOLD, 1300);
	assert_true(wait_limit_stays_away(&limit, 1300));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(as_many_as_there_are_wait_for_what_comes, setup),
		cmocka_unit_test_setup(when_one_has_waited_in_vain_only_some_may, setup),
		cmocka_unit_test_setup(who_leaves_gives_his_place_to_another, setup),
		cmocka_unit_test_setup(it_stays_away_when_nobody_who_waits_gets_it_for_a_while, setup),
		cmocka_unit_test_setup(others_get_it_so_it_does_not_stay_away_from_who_waits_long, setup),
		cmocka_unit_test_setup(it_does_not_stay_away_while_nobody_waits, setup),
		cmocka_unit_test_setup(the_first_who_gets_it_lets_all_others_in, setup),
		cmocka_unit_test_setup(that_it_was_missed_is_forgotten_when_nobody_has_waited_since, setup),
		cmocka_unit_test_setup(a_wait_that_ended_otherwise_tells_nothing, setup),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
