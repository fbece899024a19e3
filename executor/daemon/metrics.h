/* The executor's metrics. Any thread. */
#pragma once

#include <stdint.h>

void executor_metrics_init(int64_t slots);
void executor_metrics_held(int64_t held);
/* outcome: completed, failed, cancelled. */
void executor_metrics_finished(const char *outcome);
