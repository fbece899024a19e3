/* The service's metrics. Any thread. */
#pragma once

#include "build-service/build.h"
#include "common/base/metrics.h"

void counters_register(void);
void counters_finished(enum build_status status);

extern struct metric counter_accepted; /* builds made from requests */
extern struct metric counter_rejected;
extern struct metric counter_assigned;
extern struct metric counter_stale_results;
extern struct metric counter_early_results;
extern struct metric counter_accept_timeouts;
extern struct metric counter_leases_expired;
extern struct metric counter_fenced;
extern struct metric counter_late_commits;
extern struct metric counter_optimistic; /* batches in one round trip */
extern struct metric counter_optimistic_misses;
extern struct metric counter_refilled; /* assigned in the transaction that freed their slot */
extern struct metric counter_refill_misses;
extern struct metric histogram_dispatch; /* queued → assignment committed */
extern struct metric histogram_match;    /* one match */
