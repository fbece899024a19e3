#include "tests/unit/unit.h"

#include <string.h>

#include "common/model/prices.h"

/* Millionths of a dollar. */
static int64_t micro(double usd)
{
	return (int64_t)(usd * 1e6 + 0.5);
}

static struct model_prices *prices_of(const char *json)
{
	struct model_prices *prices = NULL;
	struct error err = ERROR_INIT;
	assert_int_equal(model_prices_new(json, &prices, &err), 0);
	return prices;
}

TEST(each_kind_of_tokens_has_its_price)
{
	CLEANUP(model_prices_free_p)
	struct model_prices *prices =
		prices_of("{\"m\":{\"input\":3,\"output\":15,\"cache_read\":0.3,\"cache_write\":3.75,\"cache_write_1h\":6}}");
	struct model_usage usage = {
		.input = 1000000, .output = 100000, .cache_read = 1000000, .cache_write = 100000, .cache_write_1h = 50000};
	assert_int_equal(micro(model_price_of(model_prices_find(prices, "m"), &usage)),
					 3000000 + 1500000 + 300000 + 375000 + 300000);
}

TEST(cached_kinds_without_a_price_cost_what_input_does)
{
	CLEANUP(model_prices_free_p) struct model_prices *prices = prices_of("{\"m\":{\"input\":2,\"output\":8}}");
	struct model_usage usage = {.cache_read = 1000000, .cache_write = 1000000, .cache_write_1h = 1000000};
	assert_int_equal(micro(model_price_of(model_prices_find(prices, "m"), &usage)), 6000000);
}

TEST(the_name_that_fits_best_counts)
{
	CLEANUP(model_prices_free_p)
	struct model_prices *prices = prices_of(
		"{\"claude-*\":{\"input\":1,\"output\":1},"
		"\"claude-opus-*\":{\"input\":2,\"output\":1},"
		"\"claude-opus-4\":{\"input\":3,\"output\":1}}");
	assert_int_equal(micro(model_prices_find(prices, "claude-haiku")->input), 1000000);
	assert_int_equal(micro(model_prices_find(prices, "claude-opus-4-1")->input), 2000000);
	assert_int_equal(micro(model_prices_find(prices, "claude-opus-4")->input), 3000000);
	assert_null(model_prices_find(prices, "claude"));
	assert_null(model_prices_find(prices, "gpt"));
	assert_null(model_prices_find(prices, ""));
}

TEST(without_prices_nothing_has_one)
{
	CLEANUP(model_prices_free_p) struct model_prices *none = prices_of(NULL);
	CLEANUP(model_prices_free_p) struct model_prices *empty = prices_of("");
	assert_null(model_prices_find(none, "m"));
	assert_null(model_prices_find(empty, "m"));
}

TEST(prices_that_are_none_are_refused_with_the_model)
{
	static const char *const wrong[] = {
		"[]",
		"{",
		"{\"model-a\":3}",
		"{\"model-a\":{\"input\":3}}",
		"{\"model-a\":{\"input\":\"3\",\"output\":1}}",
		"{\"model-a\":{\"input\":-1,\"output\":1}}",
		"{\"model-a\":{\"input\":1,\"output\":1,\"cached\":1}}",
	};
	for (size_t i = 0; i < ARRAY_LEN(wrong); i++) {
		struct model_prices *prices = NULL;
		struct error err = ERROR_INIT;
		assert_int_equal(model_prices_new(wrong[i], &prices, &err), -1);
		assert_int_equal(err.kind, ERR_INVALID);
		assert_true(i < 2 || strstr(err.message, "model-a") != NULL);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(each_kind_of_tokens_has_its_price),
		cmocka_unit_test(cached_kinds_without_a_price_cost_what_input_does),
		cmocka_unit_test(the_name_that_fits_best_counts),
		cmocka_unit_test(without_prices_nothing_has_one),
		cmocka_unit_test(prices_that_are_none_are_refused_with_the_model),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
