#include "tests/unit/unit.h"

#include "build-service/retries.h"

#define ID "01890000-0000-7000-8000-000000000001"

TEST(the_wait_doubles_up_to_its_maximum)
{
	const struct retry_policy policy = {.backoff_ms = 1000, .backoff_max_ms = 10000};
	int64_t last = 0;
	for (int32_t nth = 1; nth <= 4; nth++) {
		int64_t wait_ms = retries_backoff_ms(&policy, nth, ID);
		int64_t base_ms = 1000 << (nth - 1);
		assert_true(wait_ms >= base_ms && wait_ms <= base_ms + base_ms / 4);
		assert_true(wait_ms > last);
		last = wait_ms;
	}
	int64_t longest = retries_backoff_ms(&policy, 2000000000, ID);
	assert_true(longest >= 10000 && longest <= 12500);
}

TEST(builds_spread_over_a_quarter_of_the_wait)
{
	const struct retry_policy policy = {.backoff_ms = 1000, .backoff_max_ms = 10000};
	int64_t a = retries_backoff_ms(&policy, 1, ID),
			b = retries_backoff_ms(&policy, 1, "01890000-0000-7000-8000-000000000002");
	assert_int_not_equal(a, b);
	assert_int_equal(a, retries_backoff_ms(&policy, 1, ID));
}

TEST(a_loss_is_not_a_used_attempt)
{
	struct build build = {.attempts_used = 1, .max_attempts = 1};
	retries_count_loss(&retry_policy_default, &build, false);
	assert_int_equal(build.attempts_used, 0);
	assert_int_equal(build.losses, 1);
	assert_true(retries_after_loss(&retry_policy_default, &build));
	assert_true(retries_after_failure(&build));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_wait_doubles_up_to_its_maximum),
		cmocka_unit_test(builds_spread_over_a_quarter_of_the_wait),
		cmocka_unit_test(a_loss_is_not_a_used_attempt),
	};
	return cmocka_run_group_tests_name("retries", tests, NULL, NULL);
}
