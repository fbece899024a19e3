/* What an attempt has taken of its model, and whether it may take more. Counted from the wire, checked before each
 * request: the answer that passes a limit is the last one. One thread. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "common/model/prices.h"
#include "executor/proxy/model_usage.h"

struct model_limits {
	int64_t max_turns, max_tokens; /* 0 = none */
	double budget_usd;             /* 0 = none */
};

enum model_verdict { MODEL_WITHIN, MODEL_TURNS, MODEL_TOKENS, MODEL_BUDGET, MODEL_UNPRICED };

struct model_meter {
	const struct model_prices *prices;
	struct model_limits limits;
	int64_t turns; /* answers that the model has begun, and requests that it may answer yet */
	struct model_usage usage;
	double cost_usd;
	bool unpriced;              /* an answer came from a model without a price: cost_usd is not all */
	enum model_verdict verdict; /* the first one stays */
	char why[192];
};

/* Before a request that makes the model speak. Reserves a turn; not MODEL_WITHIN: refused. */
enum model_verdict model_meter_admit(struct model_meter *meter);
/* When it is known which model the request asks for. */
enum model_verdict model_meter_admit_model(struct model_meter *meter, const char *model);
/* After the answer, for each that was admitted. `answered`: the model has begun to speak. Returns what the answer has
 * cost, negative when it has no price. Names may be "". */
double model_meter_settle(struct model_meter *meter, bool answered, const char *asked_model,
						  const char *answering_model, const struct model_usage *usage);
/* The error class, of schemas/common.json. */
const char *model_verdict_class(enum model_verdict verdict);
