#include "tests/unit/unit.h"

#include "api-gateway/callers/guesses.h"

#define SECOND INT64_C(1000000)
#define MINUTE (60 * SECOND)
#define A 11
#define B 22

static struct guesses *guesses;
static int64_t now_us, retry_after_s;

static int setup(void **state UNUSED)
{
	guesses = guesses_new(60);
	now_us = 5000 * SECOND;
	return 0;
}

static int teardown(void **state UNUSED)
{
	guesses_free(guesses);
	return 0;
}

static int64_t guess(uint64_t address, int64_t count)
{
	int64_t allowed = 0;
	for (int64_t i = 0; i < count; i++)
		allowed += guesses_begin(guesses, address, now_us, &retry_after_s);
	return allowed;
}

TEST(an_address_may_fail_so_often_a_minute)
{
	assert_int_equal(guess(A, 100), 60);
	assert_int_equal(retry_after_s, 1);
	assert_int_equal(guess(B, 1), 1);
	now_us += 10 * SECOND;
	assert_int_equal(guess(A, 100), 10);
	now_us += 10 * MINUTE;
	assert_int_equal(guess(A, 100), 60);
}

TEST(who_comes_again_when_told_is_heard)
{
	guesses_free(guesses);
	guesses = guesses_new(7);
	assert_int_equal(guess(A, 100), 7);
	assert_int_equal(retry_after_s, 9); /* 60 / 7, rounded up */
	now_us += retry_after_s * SECOND;
	assert_int_equal(guess(A, 1), 1);
}

TEST(what_was_no_failure_does_not_count)
{
	for (int i = 0; i < 1000; i++) {
		assert_int_equal(guess(A, 1), 1);
		guesses_take_back(guesses, A);
	}
	assert_int_equal(guess(A, 100), 60);
	guesses_take_back(guesses, B); /* not known: nothing happens */
	assert_int_equal(guess(B, 100), 60);
}

TEST(many_addresses_do_not_wash_out_the_one_that_fails_most)
{
	assert_int_equal(guess(A, 60), 60);
	for (uint64_t address = 1000; address < 101000; address++) /* more than there is room for */
		(void)guess(address, 1);
	assert_int_equal(guess(A, 1), 0);
}

static uint64_t key(const char *text)
{
	struct ip_address ip;
	assert_true(ip_read(text, &ip));
	return guesses_address(&ip);
}

TEST(an_address_is_an_ipv4_address_or_the_first_half_of_an_ipv6_address)
{
	assert_true(key("192.0.2.1") != key("192.0.2.2"));
	assert_true(key("192.0.2.1") == key("::ffff:192.0.2.1"));
	assert_true(key("2001:db8:1:2::1") == key("2001:db8:1:2:ffff::9"));
	assert_true(key("2001:db8:1:2::1") != key("2001:db8:1:3::1"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(an_address_may_fail_so_often_a_minute, setup, teardown),
		cmocka_unit_test_setup_teardown(who_comes_again_when_told_is_heard, setup, teardown),
		cmocka_unit_test_setup_teardown(what_was_no_failure_does_not_count, setup, teardown),
		cmocka_unit_test_setup_teardown(many_addresses_do_not_wash_out_the_one_that_fails_most, setup, teardown),
		cmocka_unit_test(an_address_is_an_ipv4_address_or_the_first_half_of_an_ipv6_address),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
