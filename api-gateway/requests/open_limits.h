/*
 * How many answers that last are open (streams, waits for builds, downloads), or how much of something they hold, of all
 * and of each token. Any thread: they come and go slowly, so that one mutex is enough.
 */
#pragma once

#include <stdint.h>

#include "common/base/compiler.h"
#include "common/base/error.h"
#include "common/base/hash.h"

struct open_limits;

/* All at least 0; `tokens`: how many may hold something at once, which the caller sees to. Never NULL. */
struct open_limits *open_limits_new(int64_t max, int64_t max_per_token, int64_t tokens) MUST_CHECK;
/* Nothing is open any more, or it is not given back. */
void open_limits_free(struct open_limits *limits);

/* ERR_LIMIT by the limit for all, ERR_DENIED by the token's. */
int open_limits_take(struct open_limits *limits, const uint8_t token_hash[SHA256_SIZE], struct error *err) MUST_CHECK;
/* Once for each that was taken. */
void open_limits_give(struct open_limits *limits, const uint8_t token_hash[SHA256_SIZE]);

/* The same of `amount` (at least 0) at once: all of it or nothing. */
int open_limits_take_many(struct open_limits *limits, const uint8_t token_hash[SHA256_SIZE], int64_t amount,
						  struct error *err) MUST_CHECK;
void open_limits_give_many(struct open_limits *limits, const uint8_t token_hash[SHA256_SIZE], int64_t amount);
