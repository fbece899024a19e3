/*
 * How many requests the gateway takes, and whose: a limit for all together, divided by max-min fairness, and one for
 * each token.
 *
 * A request that is admitted is a debt of its token. Debts are paid back at the rate of the limit, from the smallest
 * up (water-filling): every token in debt is given the same, and what one does not need goes to the others. So a token
 * that asks for less than its share is out of debt again within a tick and meets no limit, and those that ask for more
 * are admitted as fast as they are paid back: equally, and together with all that the others leave. Nothing is lost to
 * tokens that do not come.
 *
 * While all owe less than BURST_MS of the limit together there is no overload, and everything is admitted. Beyond that
 * a token may owe its part of as much, at least one request: who comes first while others overload is admitted. Who
 * used what nobody else wanted pays it back from its share when they come. Over a time t no more than limit x t plus
 * what is owed is admitted.
 *
 * No more than four seconds of the limit may be owed (or 16 requests). Up to so many tokens, four times the limit's
 * number, fairness holds however much they ask for; where still more ask for more than their share at once, new ones
 * are refused until something is paid back, and who then comes first is chance.
 *
 * Memory is bounded: a token out of debt is forgotten, which loses nothing.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "common/base/compiler.h"
#include "common/base/hash.h"

#define ADMISSION_MAX_RATE 1000000 /* of both limits */

struct admission_limits {
	int64_t per_second;           /* of all tokens together; 0: none */
	int64_t per_second_per_token; /* of each; 0: none */
};

enum admission_verdict {
	ADMISSION_GRANTED,
	ADMISSION_OVER_SHARE, /* the token has used up its share */
	ADMISSION_FULL,       /* too many tokens are in debt: the gateway's own limit */
};

/* What the token may be sure of while as many are in debt as now: `quota` requests in `window_s`, of which `remaining`
 * could come at once; after `more_in_s`, which is never less than the window, there are more. It may get more while
 * others ask for less. All zero: there is no limit. */
struct admission_share {
	int64_t quota, window_s, remaining, more_in_s;
};

struct admission;

struct admission *admission_new(const struct admission_limits *limits);
void admission_free(struct admission *admission); /* takes NULL */

/* Any thread; `now_us` is clock_boot_us, or a test's. A token in debt, whoever asks often, meets no lock; one that
 * comes anew takes a mutex for the time of a hash probe. */
enum admission_verdict admission_take(struct admission *admission, const uint8_t token_hash[SHA256_SIZE],
									  int64_t now_us, struct admission_share *ret_share);

/* How many tokens are in debt, at the last look. */
size_t admission_debtors(struct admission *admission);

/* The level up to which `budget` fills vessels of these positive sizes: the sum of min(sizes[i], level) is the budget
 * less *ret_left, which is what a bounded number of passes could not divide; 0 when all are full. */
int64_t admission_water_level(const int64_t *sizes, size_t len, int64_t budget, int64_t *ret_left);
