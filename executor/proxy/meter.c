#include "executor/proxy/meter.h"

#include <stdarg.h>
#include <stdio.h>

PRINTF_LIKE(3, 4)
static enum model_verdict refuse(struct model_meter *meter, enum model_verdict verdict, const char *format, ...)
{
	if (meter->verdict == MODEL_WITHIN) {
		meter->verdict = verdict;
		va_list args;
		va_start(args, format);
		(void)vsnprintf(meter->why, sizeof(meter->why), format, args);
		va_end(args);
	}
	return meter->verdict;
}

enum model_verdict model_meter_admit(struct model_meter *meter)
{
	const struct model_limits *limits = &meter->limits;
	int64_t tokens = model_usage_tokens(&meter->usage);
	if (meter->verdict != MODEL_WITHIN)
		return meter->verdict;
	if (limits->budget_usd > 0 && meter->unpriced)
		return refuse(meter, MODEL_UNPRICED,
					  "the model that answered has no price here (KILN_MODEL_PRICES), so that "
					  "budget_usd cannot be kept");
	if (limits->budget_usd > 0 && meter->cost_usd >= limits->budget_usd)
		return refuse(meter, MODEL_BUDGET, "budget_usd is used up: %.6f of %.6f USD", meter->cost_usd,
					  limits->budget_usd);
	if (limits->max_tokens > 0 && tokens >= limits->max_tokens)
		return refuse(meter, MODEL_TOKENS, "max_tokens is used up: %lld of %lld", (long long)tokens,
					  (long long)limits->max_tokens);
	if (limits->max_turns > 0 && meter->turns >= limits->max_turns)
		return refuse(meter, MODEL_TURNS, "max_turns is used up: %lld", (long long)limits->max_turns);
	meter->turns++;
	return MODEL_WITHIN;
}

enum model_verdict model_meter_admit_model(struct model_meter *meter, const char *model)
{
	if (meter->limits.budget_usd > 0 && model_prices_find(meter->prices, model) == NULL)
		return refuse(meter, MODEL_UNPRICED,
					  "model \"%.60s\" has no price here (KILN_MODEL_PRICES), so that budget_usd cannot be kept",
					  model);
	return MODEL_WITHIN;
}

double model_meter_settle(struct model_meter *meter, bool answered, const char *asked_model,
						  const char *answering_model, const struct model_usage *usage)
{
	struct model_usage *total = &meter->usage;
	if (!answered) {
		meter->turns--;
		return 0;
	}
	total->input += usage->input;
	total->output += usage->output;
	total->cache_read += usage->cache_read;
	total->cache_write += usage->cache_write;
	total->cache_write_1h += usage->cache_write_1h;
	/* A request's alias is answered by the model that it stands for; the price may be under either name. */
	const struct model_price *price = model_prices_find(meter->prices, answering_model);
	if (price == NULL)
		price = model_prices_find(meter->prices, asked_model);
	if (price == NULL) {
		meter->unpriced = true;
		return -1;
	}
	double cost_usd = model_price_of(price, usage);
	meter->cost_usd += cost_usd;
	return cost_usd;
}

const char *model_verdict_class(enum model_verdict verdict)
{
	switch (verdict) {
	case MODEL_WITHIN:
		break;
	case MODEL_TURNS:
		return "turn_limit";
	case MODEL_TOKENS:
	case MODEL_BUDGET:
		return "budget_exceeded";
	case MODEL_UNPRICED:
		return "model_unpriced";
	}
	return NULL;
}
