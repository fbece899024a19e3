#include "api-gateway/requests/open_limits.h"

#include <pthread.h>
#include <stdlib.h>

#include "common/base/alloc.h"
#include "common/base/map.h"
#include "common/base/mutex.h"

struct open_limits {
	pthread_mutex_t lock;
	int64_t max, max_per_token, open;
	struct map *tokens; /* hash → count */
};

struct count {
	int64_t open;
};

struct open_limits *open_limits_new(int64_t max, int64_t max_per_token, int64_t tokens)
{
	struct open_limits *limits = xcalloc(1, sizeof(*limits));
	mutex_init(&limits->lock);
	limits->max = max;
	limits->max_per_token = max_per_token;
	limits->tokens = map_new((size_t)tokens + 1, free);
	return limits;
}

void open_limits_free(struct open_limits *limits)
{
	map_free(limits->tokens);
	(void)pthread_mutex_destroy(&limits->lock); /* nobody holds it */
	free(limits);
}

static int take(struct open_limits *limits, const uint8_t token_hash[SHA256_SIZE], int64_t amount, struct error *err)
{
	if (amount > limits->max - limits->open)
		return error_set(err, ERR_LIMIT, "%lld are open, and %lld more would be too many", (long long)limits->open,
						 (long long)amount);
	struct count *count = map_get(limits->tokens, token_hash, SHA256_SIZE);
	if (amount > limits->max_per_token - (count != NULL ? count->open : 0))
		return error_set(err, ERR_DENIED, "the token has %lld open, and %lld more would be too many",
						 count != NULL ? (long long)count->open : 0LL, (long long)amount);
	if (count == NULL) {
		count = xcalloc(1, sizeof(*count));
		CHECK(map_set(limits->tokens, token_hash, SHA256_SIZE, count) == 0); /* there are no more of them */
	}
	count->open += amount;
	limits->open += amount;
	return 0;
}

int open_limits_take_many(struct open_limits *limits, const uint8_t token_hash[SHA256_SIZE], int64_t amount,
						  struct error *err)
{
	CHECK(amount >= 0);
	if (amount == 0)
		return 0;
	mutex_lock(&limits->lock);
	int result = take(limits, token_hash, amount, err);
	mutex_unlock(&limits->lock);
	return result;
}

void open_limits_give_many(struct open_limits *limits, const uint8_t token_hash[SHA256_SIZE], int64_t amount)
{
	if (amount == 0)
		return;
	mutex_lock(&limits->lock);
	struct count *count = map_get(limits->tokens, token_hash, SHA256_SIZE);
	CHECK(count != NULL && count->open >= amount && limits->open >= amount);
	limits->open -= amount;
	count->open -= amount;
	if (count->open == 0)
		(void)map_remove(limits->tokens, token_hash, SHA256_SIZE); /* it is there */
	mutex_unlock(&limits->lock);
}

int open_limits_take(struct open_limits *limits, const uint8_t token_hash[SHA256_SIZE], struct error *err)
{
	return open_limits_take_many(limits, token_hash, 1, err);
}

void open_limits_give(struct open_limits *limits, const uint8_t token_hash[SHA256_SIZE])
{
	open_limits_give_many(limits, token_hash, 1);
}
