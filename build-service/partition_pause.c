#include "build-service/partition_pause.h"

#include "common/base/backoff.h"
#include "common/base/clock.h"
#include "common/base/log.h"

#define PAUSE_MIN_MS 1000 /* a leader that is being chosen */
#define PAUSE_MAX_MS 30000

bool partition_pause_is_over(const struct partition_pause *pause)
{
	return clock_boot_ms() >= pause->not_before_ms;
}

void partition_pause_begin(struct partition_pause *pause, const char *topic, int32_t partition, const char *reason)
{
	struct backoff backoff = {.min_ms = PAUSE_MIN_MS, .max_ms = PAUSE_MAX_MS, .now_ms = pause->last_ms};
	pause->last_ms = backoff_next(&backoff);
	pause->not_before_ms = clock_boot_ms() + pause->last_ms;
	log_warn("the end of a partition is not known", "topic", topic, "partition", LOG_INT(partition), "error", reason,
			 NULL);
}

void partition_pause_clear(struct partition_pause *pause)
{
	pause->last_ms = 0;
}
