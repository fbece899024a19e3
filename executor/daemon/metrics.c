#include "executor/daemon/metrics.h"

#include "common/base/metrics.h"
#include "common/base/str.h"

static struct metric slots_total = {
	.kind = METRIC_GAUGE, .name = "kiln_executor_slots", .help = "Builds that may run here at once."};
static struct metric held_attempts = {
	.kind = METRIC_GAUGE, .name = "kiln_executor_attempts_held", .help = "Attempts whose processes may run."};
static struct metric finished[] = {
	{.kind = METRIC_COUNTER,
	 .name = "kiln_executor_attempts_total",
	 .help = "Attempts that ended here.",
	 .labels = "outcome=\"completed\""},
	{.kind = METRIC_COUNTER,
	 .name = "kiln_executor_attempts_total",
	 .help = "Attempts that ended here.",
	 .labels = "outcome=\"failed\""},
	{.kind = METRIC_COUNTER,
	 .name = "kiln_executor_attempts_total",
	 .help = "Attempts that ended here.",
	 .labels = "outcome=\"cancelled\""},
};

void executor_metrics_init(int64_t slots)
{
	metric_register(&slots_total);
	metric_register(&held_attempts);
	for (size_t i = 0; i < ARRAY_LEN(finished); i++)
		metric_register(&finished[i]);
	metric_set(&slots_total, slots);
}

void executor_metrics_held(int64_t held)
{
	metric_set(&held_attempts, held);
}

void executor_metrics_finished(const char *outcome)
{
	size_t which = str_equal(outcome, "completed") ? 0 : str_equal(outcome, "failed") ? 1 : 2;
	metric_add(&finished[which], 1);
}
