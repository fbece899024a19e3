/*
 * Where a partition ends now, by its leader's word: what must not miss a record asks barrier.h. Kafka may not tell
 * (there is no leader), and each question keeps its thread for up to a second: so a partition that was not told is asked
 * for again after a pause (partition_pause.h), and one look gives up after two of them. On the inbox's thread.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "build-service/partition_pause.h"
#include "common/pg/inbox.h"

/* Of one partition, over all looks. Zeroed it begins. */
struct end_offset {
	int64_t value; /* by the last answer */
	struct partition_pause pause;
};

/* A look at several of them. Zeroed it begins. */
struct end_offset_look {
	int unanswered;
};
/* It asks no more. */
bool end_offset_gave_up(const struct end_offset_look *look);

/* False: not known now, whatever `value` is. That Kafka did not tell it is logged. */
bool end_offset_ask(struct end_offset *end, struct end_offset_look *look, struct inbox *inbox, const char *topic,
					int32_t partition);
