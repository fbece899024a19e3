/*
 * What models cost: KILN_MODEL_PRICES, a JSON object of model names, each with USD per million tokens of each kind:
 *
 *     {"claude-sonnet-4-5*": {"input": 3, "output": 15, "cache_read": 0.3, "cache_write": 3.75, "cache_write_1h": 6}}
 *
 * `input` and `output` are needed; the cached kinds cost what input does when they are not given, cache_write_1h what
 * cache_write does. A name with a * at its end stands for all that begin so; the longest one that fits counts.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "common/base/compiler.h"
#include "common/base/error.h"

/* Tokens, each counted once: `input` is without what was written to or read from a cache. */
struct model_usage {
	int64_t input, output, cache_read, cache_write, cache_write_1h;
	bool estimated;
};

struct model_prices; /* immutable; any thread */

/* NULL or "" is no prices at all. ERR_INVALID says which name is wrong. */
int model_prices_new(const char *json, struct model_prices **ret_prices, struct error *err) MUST_CHECK;
void model_prices_free(struct model_prices *prices);
/* Could they be made? A config_option's check. */
int model_prices_check(const char *json, struct error *err) MUST_CHECK;
DEFINE_CLEANUP(struct model_prices, model_prices_free)

struct model_price {
	double input, output, cache_read, cache_write, cache_write_1h; /* USD per million tokens */
};

/* NULL when the model has no price. */
const struct model_price *model_prices_find(const struct model_prices *prices, const char *model);
double model_price_of(const struct model_price *price, const struct model_usage *usage);
