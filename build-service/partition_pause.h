/*
 * A partition whose end was not to be learnt (it has no leader, or its log has lost its end) is asked for again after a
 * pause, which doubles. On the inbox's thread.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

/* Of one partition, for as long as it is asked for. Zeroed it begins. */
struct partition_pause {
	int64_t not_before_ms; /* asked again; CLOCK_BOOTTIME */
	int32_t last_ms;       /* 0 after an answer */
};

bool partition_pause_is_over(const struct partition_pause *pause);
/* It was not to be learnt, which is logged. */
void partition_pause_begin(struct partition_pause *pause, const char *topic, int32_t partition, const char *reason);
/* It was: the next pause is a first one. */
void partition_pause_clear(struct partition_pause *pause);
