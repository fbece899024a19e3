#include "api-gateway/callers/admission.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/alloc.h"
#include "common/base/mutex.h"

/* Debts are counted in millionths of a request: N requests a second are N of them a microsecond. */
#define REQUEST INT64_C(1000000)
#define TICK_US 10000
#define LONGEST_TICK_US INT64_C(60000000) /* no debt takes longer */
#define BURST_MS 250     /* what then waits is worked off in that time, if the limit is what the gateway can do */
#define OWED_MAX_MS 4000 /* less than a request may take: what a fleet sends at once is still answered */
#define OWED_MIN (16 * REQUEST)
#define PASSES 16

/* A hash table that is read without a lock: a key lies in one of PROBES places from its own on. At most half full. */
#define PLACES 16384
#define PROBES 16
#define DEBTORS_MAX (PLACES / 2)
#define NOWHERE PLACES

#define CLOSED INT64_MIN /* a debt that nobody may add to: its place is being given up */

/* A cache line each: the loops do not disturb one another over different tokens. */
struct place {
	_Atomic int64_t debt;
	char unused[56];
};

struct admission {
	int64_t rate, token_rate;           /* 0: no such limit */
	int64_t burst, owed_max, token_max; /* debts that follow from them */
	_Atomic int64_t owed;               /* by all together */
	_Atomic int64_t part;               /* a debtor's part of the burst; changes with their number */
	_Atomic int64_t next_tick_us;
	_Atomic size_t debtors_len;
	pthread_mutex_t lock; /* the next four; who comes into debt, and who leaves it */
	int64_t ticked_us, left_over;
	uint32_t debtors[DEBTORS_MAX]; /* their places */
	int64_t sizes[DEBTORS_MAX];    /* scratch of a tick */
	_Atomic uint64_t keys[PLACES]; /* 0: free */
	struct place places[PLACES];   /* a page takes memory when it is used first */
};

static int64_t smaller(int64_t a, int64_t b)
{
	return a < b ? a : b;
}

static int64_t larger(int64_t a, int64_t b)
{
	return a > b ? a : b;
}

struct admission *admission_new(const struct admission_limits *limits)
{
	CHECK(limits->per_second >= 0 && limits->per_second <= ADMISSION_MAX_RATE && limits->per_second_per_token >= 0 &&
		  limits->per_second_per_token <= ADMISSION_MAX_RATE);
	struct admission *admission = xcalloc(1, sizeof(*admission));
	admission->rate = limits->per_second;
	admission->token_rate = limits->per_second_per_token;
	admission->burst = larger(REQUEST, limits->per_second * REQUEST * BURST_MS / 1000);
	admission->owed_max = larger(OWED_MIN, limits->per_second * REQUEST * OWED_MAX_MS / 1000);
	admission->token_max = limits->per_second_per_token * REQUEST;
	atomic_init(&admission->part, admission->burst);
	mutex_init(&admission->lock);
	return admission;
}

void admission_free(struct admission *admission)
{
	if (admission == NULL)
		return;
	(void)pthread_mutex_destroy(&admission->lock); /* nobody holds it */
	free(admission);
}

size_t admission_debtors(struct admission *admission)
{
	return atomic_load(&admission->debtors_len);
}

/* The hash of a valid token is as good as random, and nobody can choose it. */
static uint64_t key_of(const uint8_t hash[SHA256_SIZE])
{
	uint64_t key;
	memcpy(&key, hash, sizeof(key));
	return key != 0 ? key : 1;
}

static size_t find(struct admission *admission, uint64_t key)
{
	for (size_t i = 0; i < PROBES; i++) {
		size_t at = (key + i) % PLACES;
		if (atomic_load_explicit(&admission->keys[at], memory_order_acquire) == key)
			return at;
	}
	return NOWHERE;
}

/* How much more a token with this debt may owe. */
static int64_t room(struct admission *admission, int64_t debt)
{
	int64_t left = INT64_MAX;
	if (admission->rate > 0)
		left = larger(admission->burst - atomic_load(&admission->owed), atomic_load(&admission->part) - debt);
	if (admission->token_rate > 0)
		left = smaller(left, admission->token_max - debt);
	return larger(left, 0);
}

enum borrowed { BORROWED, REFUSED, GONE };

static enum borrowed borrow(struct admission *admission, size_t at, uint64_t key, int64_t *ret_debt)
{
	_Atomic int64_t *debt = &admission->places[at].debt;
	int64_t now = atomic_load(debt);
	do {
		if (now == CLOSED)
			return GONE;
		if (room(admission, now) < REQUEST) {
			*ret_debt = now;
			/* Whose debt was it? In the instant in which a place changes hands, a request may be added to another
			 * token's debt, but nobody is refused for one. */
			return atomic_load(&admission->keys[at]) == key ? REFUSED : GONE;
		}
	} while (!atomic_compare_exchange_weak(debt, &now, now + REQUEST));
	(void)atomic_fetch_add(&admission->owed, REQUEST); /* only the sum counts */
	*ret_debt = now + REQUEST;
	return BORROWED;
}

/* Under the lock. */
static void count_debtors(struct admission *admission, size_t len)
{
	atomic_store(&admission->debtors_len, len);
	atomic_store(&admission->part, larger(REQUEST, admission->burst / (int64_t)(len > 0 ? len : 1)));
}

/* Under the lock: a token that owes nothing. False: there is no room for one more. */
static bool enter(struct admission *admission, uint64_t key)
{
	size_t len = atomic_load(&admission->debtors_len), at = key % PLACES, probes = 0;
	if (len == DEBTORS_MAX || (admission->rate > 0 && atomic_load(&admission->owed) + REQUEST > admission->owed_max))
		return false;
	while (atomic_load(&admission->keys[at]) != 0) {
		at = (at + 1) % PLACES;
		if (++probes == PROBES)
			return false;
	}
	atomic_store(&admission->places[at].debt, REQUEST);
	atomic_store_explicit(&admission->keys[at], key, memory_order_release);
	admission->debtors[len] = (uint32_t)at;
	count_debtors(admission, len + 1);
	(void)atomic_fetch_add(&admission->owed, REQUEST); /* as in borrow */
	return true;
}

static enum admission_verdict come(struct admission *admission, uint64_t key, int64_t *ret_debt)
{
	enum admission_verdict verdict = ADMISSION_GRANTED;
	*ret_debt = REQUEST;
	mutex_lock(&admission->lock);
	size_t at = find(admission, key);
	if (at != NOWHERE) /* another thread was faster; places are given up under the lock only */
		verdict = borrow(admission, at, key, ret_debt) == BORROWED ? ADMISSION_GRANTED : ADMISSION_OVER_SHARE;
	else if (!enter(admission, key))
		verdict = ADMISSION_FULL;
	mutex_unlock(&admission->lock);
	return verdict;
}

int64_t admission_water_level(const int64_t *sizes, size_t len, int64_t budget, int64_t *ret_left)
{
	int64_t level = 0;
	size_t open = len;
	for (int pass = 0; pass < PASSES && open > 0 && budget >= (int64_t)open; pass++) {
		int64_t next = level + budget / (int64_t)open;
		size_t still_open = 0;
		for (size_t i = 0; i < len; i++) {
			if (sizes[i] > level)
				budget -= smaller(sizes[i], next) - level;
			still_open += sizes[i] > next;
		}
		level = next;
		open = still_open;
	}
	*ret_left = open > 0 ? budget : 0;
	return level;
}

/* Under the lock: who owes nothing is forgotten, unless he borrows at this moment. */
static bool leave(struct admission *admission, size_t at)
{
	int64_t nothing = 0;
	if (!atomic_compare_exchange_strong(&admission->places[at].debt, &nothing, CLOSED))
		return false;
	atomic_store(&admission->keys[at], 0);
	return true;
}

static void pay_back(struct admission *admission, int64_t passed_us)
{
	size_t len = atomic_load(&admission->debtors_len), kept = 0;
	int64_t each = admission->token_rate > 0 ? admission->token_rate * passed_us : INT64_MAX, level = INT64_MAX;
	for (size_t i = 0; i < len; i++)
		admission->sizes[i] = smaller(each, atomic_load(&admission->places[admission->debtors[i]].debt));
	if (admission->rate > 0)
		level = admission_water_level(admission->sizes, len, admission->rate * passed_us + admission->left_over,
									  &admission->left_over);
	for (size_t i = 0; i < len; i++) {
		uint32_t at = admission->debtors[i];
		int64_t paid = smaller(level, admission->sizes[i]);
		(void)atomic_fetch_sub(&admission->places[at].debt, paid); /* it has only grown since */
		(void)atomic_fetch_sub(&admission->owed, paid);            /* only the sum counts */
		if (!leave(admission, at))
			admission->debtors[kept++] = at;
	}
	count_debtors(admission, kept);
}

/* Whichever thread comes first after a tick's end. Nobody waits for it. */
static void tick(struct admission *admission, int64_t now_us)
{
	if (now_us < atomic_load_explicit(&admission->next_tick_us, memory_order_relaxed) ||
		pthread_mutex_trylock(&admission->lock) != 0)
		return;
	int64_t passed_us = now_us - admission->ticked_us;
	if (passed_us >= TICK_US) {
		pay_back(admission, smaller(passed_us, LONGEST_TICK_US));
		admission->ticked_us = now_us;
		atomic_store(&admission->next_tick_us, now_us + TICK_US);
	}
	mutex_unlock(&admission->lock);
}

/* Until a token with this debt may come again, if as many stay in debt and it is paid back no faster than they. */
static int64_t wait_us(struct admission *admission, int64_t debt, int64_t debtors)
{
	int64_t excess = 0, us = 0;
	if (admission->rate > 0 && admission->burst - atomic_load(&admission->owed) < REQUEST)
		excess = debt + REQUEST - atomic_load(&admission->part);
	if (admission->token_rate > 0)
		excess = larger(excess, debt + REQUEST - admission->token_max);
	if (excess <= 0)
		return 0;
	if (admission->rate > 0)
		us = excess * debtors / admission->rate;
	if (admission->token_rate > 0)
		us = larger(us, excess / admission->token_rate);
	return us;
}

static void tell_share(struct admission *admission, int64_t debt, struct admission_share *ret_share)
{
	int64_t debtors = larger(1, (int64_t)atomic_load(&admission->debtors_len)), quota = admission->token_rate,
			window_s = 1;
	if (admission->rate > 0 && (quota == 0 || quota > admission->rate / debtors)) {
		quota = larger(1, admission->rate / debtors);
		window_s = admission->rate >= debtors ? 1 : (debtors + admission->rate - 1) / admission->rate;
	}
	ret_share->quota = quota;
	ret_share->window_s = window_s;
	ret_share->remaining = smaller(quota, room(admission, debt) / REQUEST);
	ret_share->more_in_s = larger(window_s, (wait_us(admission, debt, debtors) + 999999) / 1000000);
}

enum admission_verdict admission_take(struct admission *admission, const uint8_t token_hash[SHA256_SIZE],
									  int64_t now_us, struct admission_share *ret_share)
{
	uint64_t key = key_of(token_hash);
	int64_t debt;
	tick(admission, now_us);
	size_t at = find(admission, key);
	enum borrowed borrowed = at != NOWHERE ? borrow(admission, at, key, &debt) : GONE;
	enum admission_verdict verdict = ADMISSION_GRANTED;
	if (borrowed == GONE)
		verdict = come(admission, key, &debt);
	else if (borrowed == REFUSED)
		verdict = ADMISSION_OVER_SHARE;
	tell_share(admission, debt, ret_share);
	if (verdict != ADMISSION_GRANTED)
		ret_share->remaining = 0;
	return verdict;
}
