/*
 * How many workers may wait at once for what others have waited for in vain: an acknowledgement of Kafka's, a proof
 * (build_lookup.h). While it comes, as many as there are. When it stays away each of them would be held for seconds, and
 * whoever needs nothing of it would find no worker: then only some may wait, who find out when it comes again; the
 * others are told at once that it does not.
 *
 * It stays away when the last one who waited went without it, not long ago, or when for a while nobody got it although
 * somebody waited. Any thread; times are clock_boot_ms'.
 */
#pragma once

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "common/base/compiler.h"

#define WAIT_LIMIT_MEMORY_MS 5000 /* longer than a wait: who waits meanwhile renews it */

#define WAIT_LIMIT_NEVER (-1)

struct wait_limit {
	int max;             /* at once, while it stays away */
	int64_t patience_ms; /* longer than it takes when all is well */
	_Atomic int waiting;
	_Atomic int64_t missed_ms; /* when the last one who can tell went without it; WAIT_LIMIT_NEVER: he got it */
	_Atomic int64_t since_ms;  /* somebody has waited, and nobody got it */
};

/* How a wait ended. */
enum wait_end { WAIT_CAME, WAIT_MISSED, WAIT_UNTOLD /* by something else, which says nothing of it */ };

void wait_limit_init(struct wait_limit *limit, int max, int64_t patience_ms);
/* False: enough others wait for what stays away. True: wait_limit_leave follows. */
bool wait_limit_enter(struct wait_limit *limit, int64_t now_ms) MUST_CHECK;
void wait_limit_leave(struct wait_limit *limit, enum wait_end end, int64_t now_ms);
bool wait_limit_stays_away(const struct wait_limit *limit, int64_t now_ms);
