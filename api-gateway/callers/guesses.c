#include "api-gateway/callers/guesses.h"

#include <pthread.h>
#include <string.h>

#include "common/base/alloc.h"
#include "common/base/mutex.h"
#include "common/base/siphash.h"

#define WINDOW_US INT64_C(60000000)
#define SETS 4096
#define WAYS 4

/* One number is enough (GCRA): every guess moves it by a guess's part of the window, and it may not be further ahead
 * of the clock than the window. */
struct guesser {
	uint64_t address;
	int64_t forgotten_us; /* when all its guesses are old */
};

struct guesses {
	pthread_mutex_t lock;
	int64_t interval_us; /* a guess's part of the window */
	struct guesser sets[SETS][WAYS];
};

struct guesses *guesses_new(int64_t per_minute)
{
	CHECK(per_minute > 0 && per_minute <= WINDOW_US);
	struct guesses *guesses = xcalloc(1, sizeof(*guesses));
	guesses->interval_us = WINDOW_US / per_minute;
	mutex_init(&guesses->lock);
	return guesses;
}

void guesses_free(struct guesses *guesses)
{
	if (guesses == NULL)
		return;
	(void)pthread_mutex_destroy(&guesses->lock); /* nobody holds it */
	free(guesses);
}

uint64_t guesses_address(const struct ip_address *address)
{
	return address->is_v4 ? siphash(address->bytes + 12, 4) : siphash(address->bytes, 8);
}

/* Its row, or the row in which it may lie. */
static struct guesser *find(struct guesses *guesses, uint64_t address)
{
	struct guesser *set = guesses->sets[address % SETS], *least = set;
	for (size_t i = 0; i < WAYS; i++) {
		if (set[i].address == address)
			return &set[i];
		if (set[i].forgotten_us < least->forgotten_us)
			least = &set[i];
	}
	return least;
}

bool guesses_begin(struct guesses *guesses, uint64_t address, int64_t now_us, int64_t *ret_retry_after_s)
{
	mutex_lock(&guesses->lock);
	struct guesser *guesser = find(guesses, address);
	if (guesser->address != address)
		*guesser = (struct guesser){.address = address};
	int64_t from_us = guesser->forgotten_us > now_us ? guesser->forgotten_us : now_us;
	int64_t too_early_us = from_us + guesses->interval_us - now_us - WINDOW_US;
	if (too_early_us <= 0)
		guesser->forgotten_us = from_us + guesses->interval_us;
	else
		*ret_retry_after_s = (too_early_us + 999999) / 1000000;
	mutex_unlock(&guesses->lock);
	return too_early_us <= 0;
}

void guesses_take_back(struct guesses *guesses, uint64_t address)
{
	mutex_lock(&guesses->lock);
	struct guesser *guesser = find(guesses, address);
	if (guesser->address == address) /* else it made room meanwhile */
		guesser->forgotten_us -= guesses->interval_us;
	mutex_unlock(&guesses->lock);
}
