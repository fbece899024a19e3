/* What is due when: a binary heap of attempts. One thread. */
#pragma once

#include <stddef.h>
#include <stdint.h>

struct attempt;

struct timers {
	struct timer {
		int64_t due_us; /* clock_boot_us */
		struct attempt *attempt;
	} * items;
	size_t len, size;
};

void timers_release(struct timers *timers);
void timers_add(struct timers *timers, int64_t due_us, struct attempt *attempt);
/* The one that is due first, taken out, when that is not after now; else NULL. */
struct attempt *timers_pop(struct timers *timers, int64_t now_us);
/* When the first is due; INT64_MAX when there is none. */
int64_t timers_next_us(const struct timers *timers);
