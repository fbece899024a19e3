/*
 * Where a partition ends now. Kafka may not tell (there is no leader), and each question keeps its thread for up to a
 * second, so a partition that was not told is not asked for again for a while, and in one look only so many are. On the
 * inbox's thread.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "common/pg/inbox.h"

/* One look at several partitions. Zeroed it begins. */
struct end_offset_look {
	int unanswered;
};

/* *not_before_ms is the partition's own, kept over all looks and zero at first (CLOCK_BOOTTIME). False: the end is not
 * known; that Kafka did not tell it is logged. */
bool end_offset_ask(struct end_offset_look *look, struct inbox *inbox, const char *topic, int32_t partition,
					int64_t *not_before_ms, int64_t *ret_end);
