#include "build-service/counters.h"

#define COUNTER(metric_name, text)                                                                                     \
	{                                                                                                                  \
		.kind = METRIC_COUNTER, .name = (metric_name), .help = (text)                                                  \
	}
#define HISTOGRAM(metric_name, text)                                                                                   \
	{                                                                                                                  \
		.kind = METRIC_HISTOGRAM, .name = (metric_name), .help = (text)                                                \
	}

struct metric counter_accepted = COUNTER("kiln_builds_accepted_total", "Builds made from requests.");
struct metric counter_rejected =
	COUNTER("kiln_builds_rejected_total", "Requests that could not be run and became failed builds.");
struct metric counter_assigned = COUNTER("kiln_attempts_assigned_total", "Attempts given to workers.");
struct metric counter_stale_results =
	COUNTER("kiln_stale_results_total", "Results whose token was not the current one.");
struct metric counter_early_results = COUNTER("kiln_early_results_total", "Results that came before their build.");
struct metric counter_accept_timeouts =
	COUNTER("kiln_accept_timeouts_total", "Attempts that no worker accepted in time.");
struct metric counter_leases_expired = COUNTER("kiln_leases_expired_total", "Attempts whose lease ran out.");
struct metric counter_fenced =
	COUNTER("kiln_workers_fenced_total", "Messages of workers that another incarnation has replaced.");
struct metric counter_late_commits =
	COUNTER("kiln_late_commits_total", "Pushes of lost attempts found after the build's end.");
struct metric counter_optimistic =
	COUNTER("kiln_optimistic_batches_total", "Batches of new builds that were written in one round trip.");
struct metric counter_optimistic_misses =
	COUNTER("kiln_optimistic_misses_total", "Batches that were to be written in one round trip and took another way.");
struct metric counter_refilled =
	COUNTER("kiln_refilled_slots_total", "Attempts assigned in the transaction that freed their slot.");
struct metric counter_refill_misses =
	COUNTER("kiln_refill_misses_total", "Transactions that freed slots and left them to the dispatcher after a try.");
struct metric histogram_dispatch = HISTOGRAM("kiln_dispatch_seconds", "From queued to the committed assignment.");
struct metric histogram_match = HISTOGRAM("kiln_match_seconds", "One match of builds to slots.");

static struct metric finished[] = {
	[STATUS_COMPLETED] = {.kind = METRIC_COUNTER,
						  .name = "kiln_builds_finished_total",
						  .help = "Builds that have ended.",
						  .labels = "outcome=\"completed\""},
	[STATUS_FAILED] = {.kind = METRIC_COUNTER,
					   .name = "kiln_builds_finished_total",
					   .help = "Builds that have ended.",
					   .labels = "outcome=\"failed\""},
	[STATUS_CANCELLED] = {.kind = METRIC_COUNTER,
						  .name = "kiln_builds_finished_total",
						  .help = "Builds that have ended.",
						  .labels = "outcome=\"cancelled\""},
};

void counters_register(void)
{
	struct metric *const all[] = {
		&counter_accepted,        &counter_rejected,           &counter_assigned,          &counter_stale_results,
		&counter_early_results,   &counter_accept_timeouts,    &counter_leases_expired,    &counter_fenced,
		&counter_late_commits,    &counter_optimistic,         &counter_optimistic_misses, &counter_refilled,
		&counter_refill_misses,   &histogram_dispatch,         &histogram_match,           &finished[STATUS_COMPLETED],
		&finished[STATUS_FAILED], &finished[STATUS_CANCELLED],
	};
	for (size_t i = 0; i < ARRAY_LEN(all); i++)
		metric_register(all[i]);
}

void counters_finished(enum build_status status)
{
	metric_add(&finished[status], 1);
}
