#include "tests/unit/unit.h"

#include "api-gateway/requests/open_limits.h"

static const uint8_t a[SHA256_SIZE] = {1}, b[SHA256_SIZE] = {2}, c[SHA256_SIZE] = {3};
static struct open_limits *limits;

static int setup(void **state UNUSED)
{
	limits = open_limits_new(3, 2, 3);
	return 0;
}

static int teardown(void **state UNUSED)
{
	open_limits_free(limits);
	return 0;
}

static enum error_kind take(const uint8_t *token)
{
	struct error err = ERROR_INIT;
	return open_limits_take(limits, token, &err) == 0 ? ERR_NONE : err.kind;
}

TEST(a_token_has_its_own_limit)
{
	assert_int_equal(take(a), ERR_NONE);
	assert_int_equal(take(a), ERR_NONE);
	assert_int_equal(take(a), ERR_DENIED);
	assert_int_equal(take(b), ERR_NONE);
}

TEST(all_together_have_a_limit)
{
	assert_int_equal(take(a), ERR_NONE);
	assert_int_equal(take(a), ERR_NONE);
	assert_int_equal(take(b), ERR_NONE);
	assert_int_equal(take(c), ERR_LIMIT);
}

TEST(what_is_given_back_can_be_taken_again)
{
	for (int i = 0; i < 100; i++) {
		assert_int_equal(take(a), ERR_NONE);
		assert_int_equal(take(a), ERR_NONE);
		open_limits_give(limits, a);
		open_limits_give(limits, a);
	}
	assert_int_equal(take(b), ERR_NONE);
}

TEST(an_amount_may_be_larger_than_any_number_of_tokens)
{
	const int64_t all = INT64_C(1000000) << 16;
	struct open_limits *bytes = open_limits_new(all, all, 1000000);
	struct error err = ERROR_INIT;
	assert_int_equal(open_limits_take_many(bytes, a, all, &err), 0);
	assert_int_equal(open_limits_take_many(bytes, a, 1, &err), -1);
	assert_int_equal(err.kind, ERR_LIMIT);
	open_limits_give_many(bytes, a, all);
	open_limits_free(bytes);
}

static void give_too_much(void *arg UNUSED)
{
	open_limits_give(limits, c);
}

TEST(giving_back_what_was_not_taken_is_a_bug)
{
	unit_assert_aborts(give_too_much, NULL);
}

TEST(an_amount_is_taken_as_a_whole_or_not_at_all)
{
	struct error err = ERROR_INIT;
	assert_int_equal(open_limits_take_many(limits, a, 2, &err), 0);
	assert_int_equal(open_limits_take_many(limits, b, 2, &err), -1);
	assert_int_equal(err.kind, ERR_LIMIT);
	assert_int_equal(open_limits_take_many(limits, b, 1, &err), 0);
	open_limits_give_many(limits, a, 2);
	assert_int_equal(open_limits_take_many(limits, b, 2, &err), -1);
	assert_int_equal(err.kind, ERR_DENIED);
	assert_int_equal(open_limits_take_many(limits, a, 2, &err), 0);
}

TEST(nothing_is_always_to_be_had)
{
	struct error err = ERROR_INIT;
	assert_int_equal(open_limits_take_many(limits, a, 2, &err), 0);
	assert_int_equal(open_limits_take_many(limits, a, 0, &err), 0);
	open_limits_give_many(limits, a, 0);
	assert_int_equal(take(a), ERR_DENIED);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(a_token_has_its_own_limit, setup, teardown),
		cmocka_unit_test_setup_teardown(all_together_have_a_limit, setup, teardown),
		cmocka_unit_test_setup_teardown(what_is_given_back_can_be_taken_again, setup, teardown),
		cmocka_unit_test_setup_teardown(an_amount_is_taken_as_a_whole_or_not_at_all, setup, teardown),
		cmocka_unit_test_setup_teardown(nothing_is_always_to_be_had, setup, teardown),
		cmocka_unit_test(an_amount_may_be_larger_than_any_number_of_tokens),
		cmocka_unit_test_setup_teardown(giving_back_what_was_not_taken_is_a_bug, setup, teardown),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
