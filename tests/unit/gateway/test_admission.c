#include "tests/unit/unit.h"

#include <pthread.h>
#include <stdatomic.h>

#include "api-gateway/callers/admission.h"

#define SECOND INT64_C(1000000)

static struct admission *admission;
static int64_t now_us; /* the clock */

static void start(int64_t per_second, int64_t per_second_per_token)
{
	admission = admission_new(&(struct admission_limits){per_second, per_second_per_token});
	now_us = 5000 * SECOND;
}

static int teardown(void **state UNUSED)
{
	admission_free(admission);
	return 0;
}

/* Well spread, as hashes are. */
static void hash_of(uint64_t token, uint8_t ret[SHA256_SIZE])
{
	uint64_t mixed = (token + 1) * UINT64_C(0x9E3779B97F4A7C15);
	memset(ret, 0, SHA256_SIZE);
	mixed ^= mixed >> 29;
	memcpy(ret, &mixed, sizeof(mixed));
}

static enum admission_verdict take_and_tell(uint64_t token, struct admission_share *ret_share)
{
	uint8_t hash[SHA256_SIZE];
	hash_of(token, hash);
	return admission_take(admission, hash, now_us, ret_share);
}

static enum admission_verdict take(uint64_t token)
{
	struct admission_share share;
	return take_and_tell(token, &share);
}

static int64_t take_many(uint64_t token, int64_t count)
{
	int64_t granted = 0;
	for (int64_t i = 0; i < count; i++)
		granted += take(token) == ADMISSION_GRANTED;
	return granted;
}

/* Tokens 0 … len - 1 ask evenly, each at its rate, for so many seconds; adds what they get. */
static void demand(const int64_t *rates, size_t len, int64_t seconds, int64_t *granted)
{
	for (int64_t us = 0; us < seconds * SECOND; us += 1000) {
		now_us += 1000;
		for (size_t i = 0; i < len; i++)
			granted[i] += take_many(i, (us + 1000) * rates[i] / SECOND - us * rates[i] / SECOND);
	}
}

TEST(water_fills_the_smallest_first_and_the_rest_equally)
{
	int64_t left;
	assert_int_equal(admission_water_level((int64_t[]){10, 3000, 6000}, 3, 2000, &left), 995);
	assert_int_equal(left, 0);
	assert_int_equal(admission_water_level((int64_t[]){5, 5, 5}, 3, 9, &left), 3);
	assert_int_equal(admission_water_level((int64_t[]){5, 5, 5}, 3, 11, &left), 3);
	assert_int_equal(left, 2);
	assert_true(admission_water_level((int64_t[]){5, 7}, 2, 100, &left) >= 7);
	assert_int_equal(left, 0);
	(void)admission_water_level(NULL, 0, 100, &left);
	assert_int_equal(left, 0);
}

TEST(below_the_limit_nobody_is_refused)
{
	start(2000, 0);
	int64_t rates[] = {1500, 400, 50}, granted[3] = {0};
	demand(rates, 3, 10, granted);
	for (size_t i = 0; i < 3; i++)
		assert_int_equal(granted[i], rates[i] * 10);
}

TEST(one_token_alone_gets_the_whole_limit)
{
	start(2000, 0);
	int64_t rates[] = {6000}, granted[1] = {0};
	demand(rates, 1, 1, granted); /* the burst is in it */
	assert_in_range(granted[0], 2000, 2000 + 2000 / 4);
	granted[0] = 0;
	demand(rates, 1, 10, granted);
	assert_in_range(granted[0], 19900, 20100);
}

TEST(a_token_within_its_share_notices_nothing_of_another_beyond_its_own)
{
	start(2000, 0);
	int64_t rates[] = {900, 6000}, granted[2] = {0};
	demand(rates, 2, 10, granted);
	assert_int_equal(granted[0], 9000);
	granted[0] = granted[1] = 0;
	demand(rates, 2, 10, granted);
	assert_int_equal(granted[0], 9000);
	assert_in_range(granted[1], 10900, 11100); /* all that the first one leaves */
}

TEST(shares_are_max_min_fair)
{
	start(2000, 0);
	int64_t rates[] = {10, 3000, 6000, 300}, granted[4] = {0};
	demand(rates, 4, 2, granted);
	memset(granted, 0, sizeof(granted));
	demand(rates, 4, 10, granted);
	assert_int_equal(granted[0], 100);
	assert_int_equal(granted[3], 3000);
	assert_in_range(granted[1], 8350, 8550); /* (2000 - 310) / 2 each */
	assert_in_range(granted[2], 8350, 8550);
}

TEST(who_comes_while_others_overload_is_admitted_at_once)
{
	start(2000, 0);
	int64_t rates[] = {6000, 6000, 6000}, granted[3] = {0};
	demand(rates, 3, 3, granted);
	assert_int_equal(take_many(7, 100), 100); /* a quarter of a second's share: 2000 / 4 / 4 = 125 */
	assert_true(take_many(7, 100) < 100);
}

TEST(many_small_tokens_do_not_make_a_burst_of_another_a_refusal)
{
	start(2000, 0);
	for (uint64_t token = 100; token < 200; token++)
		assert_int_equal(take(token), ADMISSION_GRANTED);
	assert_int_equal(take_many(1, 400), 400); /* 500 may be owed together */
	assert_int_equal(take_many(1, 1), 0);
}

TEST(a_burst_is_paid_back_before_the_next)
{
	start(1000, 0);
	assert_int_equal(take_many(1, 1000), 250);
	now_us += SECOND / 10;
	assert_int_equal(take_many(1, 1000), 100);
	now_us += 3600 * SECOND; /* idle time is not saved up beyond the burst */
	assert_int_equal(take_many(1, 1000), 250);
}

TEST(a_token_has_its_own_limit_however_idle_the_gateway)
{
	start(0, 50);
	int64_t rates[] = {200, 40}, granted[2] = {0};
	assert_int_equal(take_many(9, 200), 50); /* a second's worth at once */
	demand(rates, 2, 1, granted);
	memset(granted, 0, sizeof(granted));
	demand(rates, 2, 10, granted);
	assert_in_range(granted[0], 495, 505);
	assert_int_equal(granted[1], 400);
}

TEST(both_limits_hold_together)
{
	start(100, 80);
	int64_t rates[] = {1000, 1000, 1000}, granted[3] = {0};
	demand(rates, 1, 2, granted);
	granted[0] = 0;
	demand(rates, 1, 10, granted);
	assert_in_range(granted[0], 790, 810);
	demand(rates, 3, 2, granted);
	memset(granted, 0, sizeof(granted));
	demand(rates, 3, 12, granted);
	for (size_t i = 0; i < 3; i++)
		assert_in_range(granted[i], 390, 410);
}

TEST(a_limit_of_one_a_second_admits_one_a_second)
{
	start(1, 0);
	assert_int_equal(take_many(1, 10), 1);
	assert_int_equal(take(2), ADMISSION_GRANTED); /* its first: everybody may owe one */
	now_us += SECOND;
	assert_int_equal(take_many(1, 1), 0); /* one was paid back, half of it to each */
	now_us += SECOND;
	assert_int_equal(take_many(1, 2) + take_many(2, 2), 2);
}

TEST(the_share_tells_what_may_come)
{
	struct admission_share share;
	start(2000, 0);
	assert_int_equal(take_and_tell(1, &share), ADMISSION_GRANTED);
	assert_int_equal(share.quota, 2000);
	assert_int_equal(share.window_s, 1);
	assert_int_equal(share.remaining, 499);
	assert_int_equal(take_many(1, share.remaining), share.remaining);
	assert_int_equal(take_and_tell(1, &share), ADMISSION_OVER_SHARE);
	assert_int_equal(share.remaining, 0);
	assert_int_equal(take_and_tell(2, &share), ADMISSION_GRANTED);
	assert_int_equal(share.quota, 1000);
	assert_int_equal(share.remaining, 249);
	assert_int_equal(take_many(2, share.remaining), share.remaining);
}

TEST(a_share_of_less_than_one_a_second_has_a_longer_window)
{
	struct admission_share share;
	start(2, 0);
	for (uint64_t token = 0; token < 5; token++)
		assert_int_equal(take_and_tell(token, &share), ADMISSION_GRANTED);
	assert_int_equal(share.quota, 1);
	assert_int_equal(share.window_s, 3); /* five tokens, two a second */
	assert_int_equal(take_and_tell(0, &share), ADMISSION_OVER_SHARE);
	now_us += share.window_s * SECOND;
	assert_int_equal(take(0), ADMISSION_GRANTED);
}

TEST(greedy_first_then_many_and_it_is_told_when_its_debt_is_paid)
{
	struct admission_share share;
	start(2000, 0);
	assert_int_equal(take_many(1, 1000), 500); /* alone: all that may be owed */
	for (int round = 0; round < 5; round++) {  /* 2000 / 100 / 4 */
		for (uint64_t token = 100; token < 199; token++)
			assert_int_equal(take(token), ADMISSION_GRANTED);
	}
	assert_int_equal(take_and_tell(100, &share), ADMISSION_OVER_SHARE);
	assert_int_equal(share.more_in_s, 1); /* who owes no more than its part */
	assert_int_equal(take_and_tell(1, &share), ADMISSION_OVER_SHARE);
	assert_int_equal(share.quota, 20);
	assert_int_equal(share.window_s, 1);
	assert_int_equal(share.remaining, 0);
	assert_int_equal(share.more_in_s, 25); /* 500 are owed, 4 may be: 496 at 20 a second */
	int64_t told_s = share.more_in_s;
	for (int64_t ms = 1; ms < told_s * 1000; ms += 10) { /* the others go on */
		now_us += 10000;
		for (uint64_t token = 100; token < 199; token++)
			(void)take_many(token, 2);
		if (ms < (told_s - 1) * 1000)
			assert_int_equal(take_and_tell(1, &share), ADMISSION_OVER_SHARE);
	}
	assert_int_equal(take_and_tell(1, &share), ADMISSION_GRANTED);
}

TEST(what_a_token_owes_to_its_own_limit_is_told_too)
{
	struct admission_share share;
	start(100, 10);
	assert_int_equal(take_many(1, 100), 10);
	for (uint64_t token = 100; token < 149; token++)
		(void)take(token);
	assert_int_equal(take_and_tell(1, &share), ADMISSION_OVER_SHARE);
	assert_int_equal(share.quota, 2);     /* of 100, among 50 */
	assert_int_equal(share.more_in_s, 5); /* 10 are owed and one may be: 10 at 2 a second */
}

TEST(no_more_remains_than_the_quota)
{
	struct admission_share share;
	start(2000, 0);
	for (uint64_t token = 100; token < 150; token++)
		assert_int_equal(take_and_tell(token, &share), ADMISSION_GRANTED);
	assert_int_equal(share.quota, 40);
	assert_int_equal(share.remaining, 40); /* 450 could come, if nobody else wanted them */
}

/* Each of the tokens asks every 16 ms, not all of them in the same. */
static int64_t flood_ms(int64_t ms, uint64_t tokens, int64_t *granted)
{
	int64_t sum = 0;
	for (uint64_t token = (uint64_t)ms % 16; token < tokens; token += 16) {
		bool got = take(token) == ADMISSION_GRANTED;
		granted[token] += got;
		sum += got;
	}
	return sum;
}

TEST(more_flooding_tokens_than_the_limit_are_served_in_turn_and_a_modest_one_always)
{
	enum { TOKENS = 300, SECONDS = 60 }; /* 20 for each */
	static int64_t granted[TOKENS];
	int64_t sum = 0;
	start(100, 0);
	for (int64_t ms = 0; ms < INT64_C(1000) * SECONDS; ms++) {
		now_us += 1000;
		sum += flood_ms(ms, TOKENS, granted); /* 60 a second each */
		if (ms % 5000 == 4999)
			assert_int_equal(take(TOKENS + 1), ADMISSION_GRANTED);
	}
	assert_in_range(sum, 100 * SECONDS - 100, 100 * SECONDS + TOKENS); /* each is ahead by one */
	for (size_t i = 0; i < TOKENS; i++)                                /* a fifth more or less than 20 */
		assert_in_range(granted[i], 16, 24);
}

TEST(so_many_new_tokens_that_four_seconds_are_owed_are_the_gateways_limit)
{
	struct admission_share share;
	start(100, 0);
	int64_t granted = 0;
	for (uint64_t token = 0; token < 1000; token++)
		granted += take(token) == ADMISSION_GRANTED;
	assert_int_equal(granted, 400);
	assert_int_equal(take_and_tell(1001, &share), ADMISSION_FULL);
	assert_int_equal(share.remaining, 0);
	assert_int_equal(share.more_in_s, 4);
	assert_int_equal(take(0), ADMISSION_OVER_SHARE);
	now_us += SECOND / 2;
	for (uint64_t token = 1000; token < 2000; token++)
		granted += take(token) == ADMISSION_GRANTED;
	assert_int_equal(granted, 450);
}

TEST(who_owes_nothing_is_forgotten)
{
	start(1000, 0);
	for (uint64_t token = 0; token < 50; token++)
		assert_int_equal(take(token), ADMISSION_GRANTED);
	assert_int_equal(admission_debtors(admission), 50);
	now_us += SECOND;
	assert_int_equal(take(1), ADMISSION_GRANTED);
	assert_int_equal(admission_debtors(admission), 1);
}

TEST(memory_is_bounded_however_many_tokens_come)
{
	start(0, 1);
	int64_t granted = 0;
	for (uint64_t token = 0; token < 100000; token++)
		granted += take(token) == ADMISSION_GRANTED;
	assert_in_range(granted, 8000, 8192);
	assert_int_equal(admission_debtors(admission), granted);
	now_us += 2 * SECOND;
	for (uint64_t token = 200000; token < 203000; token++) /* all places are free again */
		assert_int_equal(take(token), ADMISSION_GRANTED);
	assert_int_equal(admission_debtors(admission), 3000);
}

TEST(a_clock_that_threads_read_out_of_order_does_no_harm)
{
	start(1000, 0);
	assert_int_equal(take_many(1, 250), 250);
	now_us -= SECOND;
	assert_int_equal(take_many(1, 10), 0);
	now_us += SECOND + SECOND / 100;
	assert_int_equal(take_many(1, 20), 10);
}

#define THREADS 4
#define TURNS 100000
#define TURN_US 200

static _Atomic int64_t turns, granted_together;

/* One token asks all the time, by all threads; beside it others come into debt and leave it. */
static void *ask(void *arg UNUSED)
{
	uint8_t hash[SHA256_SIZE];
	struct admission_share share;
	for (int64_t turn; (turn = atomic_fetch_add(&turns, 1)) < TURNS;) {
		hash_of(turn % 10 == 0 ? 100 + (uint64_t)turn / 10 % 400 : 1, hash);
		enum admission_verdict verdict = admission_take(admission, hash, 5000 * SECOND + turn * TURN_US, &share);
		atomic_fetch_add(&granted_together, verdict == ADMISSION_GRANTED);
	}
	return NULL;
}

TEST(threads_together_are_not_given_more_than_one_would_be)
{
	start(2000, 0);
	pthread_t threads[THREADS];
	for (size_t i = 0; i < THREADS; i++)
		assert_int_equal(pthread_create(&threads[i], NULL, ask, NULL), 0);
	for (size_t i = 0; i < THREADS; i++)
		assert_int_equal(pthread_join(threads[i], NULL), 0);
	/* 20 seconds, and what is owed in the end; much less comes only where a thread was held up during a tick. */
	assert_in_range(atomic_load(&granted_together), 2000, 20 * 2000 + 2000);
	now_us = 6000 * SECOND;
	assert_int_equal(take_many(5, 1000), 500); /* nothing was lost or counted twice: nothing is owed any more */
	assert_int_equal(admission_debtors(admission), 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(water_fills_the_smallest_first_and_the_rest_equally),
		cmocka_unit_test_teardown(below_the_limit_nobody_is_refused, teardown),
		cmocka_unit_test_teardown(one_token_alone_gets_the_whole_limit, teardown),
		cmocka_unit_test_teardown(a_token_within_its_share_notices_nothing_of_another_beyond_its_own, teardown),
		cmocka_unit_test_teardown(shares_are_max_min_fair, teardown),
		cmocka_unit_test_teardown(who_comes_while_others_overload_is_admitted_at_once, teardown),
		cmocka_unit_test_teardown(many_small_tokens_do_not_make_a_burst_of_another_a_refusal, teardown),
		cmocka_unit_test_teardown(a_burst_is_paid_back_before_the_next, teardown),
		cmocka_unit_test_teardown(a_token_has_its_own_limit_however_idle_the_gateway, teardown),
		cmocka_unit_test_teardown(both_limits_hold_together, teardown),
		cmocka_unit_test_teardown(a_limit_of_one_a_second_admits_one_a_second, teardown),
		cmocka_unit_test_teardown(the_share_tells_what_may_come, teardown),
		cmocka_unit_test_teardown(a_share_of_less_than_one_a_second_has_a_longer_window, teardown),
		cmocka_unit_test_teardown(greedy_first_then_many_and_it_is_told_when_its_debt_is_paid, teardown),
		cmocka_unit_test_teardown(what_a_token_owes_to_its_own_limit_is_told_too, teardown),
		cmocka_unit_test_teardown(no_more_remains_than_the_quota, teardown),
		cmocka_unit_test_teardown(more_flooding_tokens_than_the_limit_are_served_in_turn_and_a_modest_one_always,
								  teardown),
		cmocka_unit_test_teardown(so_many_new_tokens_that_four_seconds_are_owed_are_the_gateways_limit, teardown),
		cmocka_unit_test_teardown(who_owes_nothing_is_forgotten, teardown),
		cmocka_unit_test_teardown(memory_is_bounded_however_many_tokens_come, teardown),
		cmocka_unit_test_teardown(a_clock_that_threads_read_out_of_order_does_no_harm, teardown),
		cmocka_unit_test_teardown(threads_together_are_not_given_more_than_one_would_be, teardown),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
