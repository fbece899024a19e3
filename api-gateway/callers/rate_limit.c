#include "api-gateway/callers/rate_limit.h"

#include <inttypes.h>

#include "api-gateway/callers/guesses.h"
#include "common/base/metrics.h"

#define LIMITED(reason)                                                                                                \
	{                                                                                                                  \
		.kind = METRIC_COUNTER, .name = "kiln_gateway_limited_requests_total",                                         \
		.help = "Requests answered with 429 or 503 by a limit of requests.", .labels = "reason=\"" reason "\""         \
	}
static struct metric over_share_total = LIMITED("share");
static struct metric full_total = LIMITED("gateway");
static struct metric guessed_total = LIMITED("guesses");

void rate_limit_start(struct gateway *gateway)
{
	const struct gateway_config *config = gateway->config;
	const struct admission_limits limits = {config->max_request_rate, config->max_request_rate_per_token};
	if (limits.per_second > 0 || limits.per_second_per_token > 0)
		gateway->admission = admission_new(&limits);
	if (config->max_auth_failures > 0)
		gateway->guesses = guesses_new(config->max_auth_failures);
	metric_register(&over_share_total);
	metric_register(&full_total);
	metric_register(&guessed_total);
}

void rate_limit_stop(struct gateway *gateway)
{
	admission_free(gateway->admission);
	guesses_free(gateway->guesses);
}

static int refuse(struct request *request, enum problem problem, int64_t retry_after_s, const char *detail)
{
	problem_write(&request->answer, problem, request->id, &(struct problem_extras){.retry_after_s = retry_after_s},
				  detail);
	return -1;
}

int rate_limit_admit(struct request *request)
{
	struct admission *admission = request->gateway->admission;
	if (admission == NULL || request->share.quota > 0)
		return 0;
	struct admission_share *share = &request->share;
	switch (admission_take(admission, request->token_hash, request->started_us, share)) {
	case ADMISSION_GRANTED:
		return 0;
	case ADMISSION_OVER_SHARE:
		metric_add(&over_share_total, 1);
		return refuse(request, PROBLEM_TOO_MANY_REQUESTS, share->more_in_s,
					  "The token has used up its share of the requests that the gateway takes.");
	case ADMISSION_FULL:
		break;
	}
	metric_add(&full_total, 1);
	return refuse(request, PROBLEM_OVERLOADED, share->more_in_s, "The gateway takes no more requests for a moment.");
}

int rate_limit_guess(struct request *request)
{
	int64_t retry_after_s;
	if (request->gateway->guesses == NULL)
		return 0;
	request->guesser = guesses_address(&request->client.ip); /* unknown: all of these are counted as one */
	if (guesses_begin(request->gateway->guesses, request->guesser, request->started_us, &retry_after_s))
		return 0;
	metric_add(&guessed_total, 1);
	return refuse(request, PROBLEM_TOO_MANY_REQUESTS, retry_after_s,
				  "Too many tokens from this address were not valid.");
}

void rate_limit_not_guessed(struct request *request)
{
	if (request->gateway->guesses != NULL)
		guesses_take_back(request->gateway->guesses, request->guesser);
}

/* Two small numbers after the policy's name. */
static void add(h2o_req_t *h2o, const char *name, size_t name_len, char first, int64_t first_value, char second,
				int64_t second_value)
{
	const size_t size = 64;
	char *value = h2o_mem_alloc_pool(&h2o->pool, size);
	int len = snprintf(value, size, "\"share\";%c=%" PRId64 ";%c=%" PRId64, first, first_value, second, second_value);
	CHECK(len > 0 && (size_t)len < size);
	h2o_add_header_by_str(&h2o->pool, &h2o->res.headers, name, name_len, 0, NULL, value, (size_t)len);
}

static void add_retry_after(h2o_req_t *h2o, int64_t seconds)
{
	const size_t size = 24;
	char *value = h2o_mem_alloc_pool(&h2o->pool, size);
	int len = snprintf(value, size, "%" PRId64, seconds);
	CHECK(len > 0 && (size_t)len < size);
	h2o_add_header_by_str(&h2o->pool, &h2o->res.headers, H2O_STRLIT("retry-after"), 0, NULL, value, (size_t)len);
}

void rate_limit_add_fields(struct request *request, int64_t retry_after_s)
{
	const struct admission_share *share = &request->share;
	if (retry_after_s > 0)
		add_retry_after(request->h2o, retry_after_s > share->more_in_s ? retry_after_s : share->more_in_s);
	if (share->quota == 0)
		return;
	add(request->h2o, H2O_STRLIT("ratelimit-policy"), 'q', share->quota, 'w', share->window_s);
	add(request->h2o, H2O_STRLIT("ratelimit"), 'r', share->remaining, 't', share->more_in_s);
}
