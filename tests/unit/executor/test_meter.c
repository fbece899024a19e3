#include "tests/unit/unit.h"

#include <string.h>

#include "executor/proxy/meter.h"

static const struct model_usage answer = {.input = 1000, .cache_read = 200, .output = 50};
static struct model_prices *prices;

/* Millionths of a dollar. */
static int64_t micro(double usd)
{
	return (int64_t)(usd * 1e6 + 0.5);
}

static int make_prices(void **state UNUSED)
{
	struct error err = ERROR_INIT;
	return model_prices_new("{\"m\":{\"input\":1000,\"output\":0,\"cache_read\":0}}", &prices, &err); /* 1 USD each */
}

static int free_prices(void **state UNUSED)
{
	model_prices_free(prices);
	return 0;
}

static struct model_meter meter_with(struct model_limits limits)
{
	return (struct model_meter){.prices = prices, .limits = limits};
}

static void answer_is_counted(struct model_meter *meter)
{
	assert_int_equal(model_meter_admit(meter), MODEL_WITHIN);
	assert_int_equal(micro(model_meter_settle(meter, true, "m", "m", &answer)), 1000000);
}

TEST(without_limits_everything_is_admitted_and_counted)
{
	struct model_meter meter = meter_with((struct model_limits){.max_turns = 0});
	for (int i = 0; i < 100; i++)
		answer_is_counted(&meter);
	assert_int_equal(meter.turns, 100);
	assert_int_equal(model_usage_tokens(&meter.usage), 125000);
	assert_int_equal(micro(meter.cost_usd), 100000000);
}

TEST(turns_are_counted_when_they_begin)
{
	struct model_meter meter = meter_with((struct model_limits){.max_turns = 2});
	assert_int_equal(model_meter_admit(&meter), MODEL_WITHIN);
	assert_int_equal(model_meter_admit(&meter), MODEL_WITHIN); /* side by side */
	assert_int_equal(model_meter_admit(&meter), MODEL_TURNS);
	assert_string_equal(model_verdict_class(meter.verdict), "turn_limit");
}

TEST(a_call_that_was_not_answered_is_no_turn)
{
	struct model_meter meter = meter_with((struct model_limits){.max_turns = 1});
	for (int i = 0; i < 3; i++) {
		assert_int_equal(model_meter_admit(&meter), MODEL_WITHIN);
		(void)model_meter_settle(&meter, false, "m", "", &answer); /* costs nothing */
	}
	assert_int_equal(meter.turns, 0);
	assert_int_equal(model_usage_tokens(&meter.usage), 0);
}

TEST(the_answer_that_passes_a_limit_is_the_last_one)
{
	struct model_meter tokens = meter_with((struct model_limits){.max_tokens = 2501});
	answer_is_counted(&tokens);
	answer_is_counted(&tokens);
	answer_is_counted(&tokens);
	assert_int_equal(model_meter_admit(&tokens), MODEL_TOKENS);
	struct model_meter budget = meter_with((struct model_limits){.budget_usd = 1.5});
	answer_is_counted(&budget);
	answer_is_counted(&budget);
	assert_int_equal(model_meter_admit(&budget), MODEL_BUDGET);
	assert_string_equal(model_verdict_class(budget.verdict), "budget_exceeded");
	assert_non_null(strstr(budget.why, "2.0"));
	assert_int_equal(budget.turns, 2);
}

TEST(a_budget_is_not_kept_with_a_model_that_has_no_price)
{
	struct model_meter meter = meter_with((struct model_limits){.budget_usd = 5});
	assert_int_equal(model_meter_admit(&meter), MODEL_WITHIN);
	assert_int_equal(model_meter_admit_model(&meter, "m"), MODEL_WITHIN);
	assert_int_equal(model_meter_admit_model(&meter, "dear"), MODEL_UNPRICED);
	assert_string_equal(model_verdict_class(meter.verdict), "model_unpriced");
	struct model_meter free_of_budget = meter_with((struct model_limits){.max_tokens = 5});
	assert_int_equal(model_meter_admit_model(&free_of_budget, "dear"), MODEL_WITHIN);
}

TEST(an_answer_from_a_model_without_a_price_ends_a_budget)
{
	struct model_meter meter = meter_with((struct model_limits){.budget_usd = 5});
	assert_int_equal(model_meter_admit(&meter), MODEL_WITHIN);
	assert_true(model_meter_settle(&meter, true, "alias", "dear", &answer) < 0);
	assert_true(meter.unpriced);
	assert_int_equal(model_meter_admit(&meter), MODEL_UNPRICED);
}

TEST(the_price_may_be_under_the_name_that_was_asked_for)
{
	struct model_meter meter = meter_with((struct model_limits){.budget_usd = 5});
	assert_int_equal(model_meter_admit(&meter), MODEL_WITHIN);
	assert_int_equal(micro(model_meter_settle(&meter, true, "m", "m-20260101", &answer)), 1000000);
	assert_false(meter.unpriced);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(without_limits_everything_is_admitted_and_counted),
		cmocka_unit_test(turns_are_counted_when_they_begin),
		cmocka_unit_test(a_call_that_was_not_answered_is_no_turn),
		cmocka_unit_test(the_answer_that_passes_a_limit_is_the_last_one),
		cmocka_unit_test(a_budget_is_not_kept_with_a_model_that_has_no_price),
		cmocka_unit_test(an_answer_from_a_model_without_a_price_ends_a_budget),
		cmocka_unit_test(the_price_may_be_under_the_name_that_was_asked_for),
	};
	return cmocka_run_group_tests(tests, make_prices, free_prices);
}
