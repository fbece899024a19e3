/*
 * How many workers may wait for Kafka, by the partition that is to take the record (wait_limit.h): those of one that has
 * no leader hold few workers, and who sends to another waits as if all were well.
 *
 * Who sends to a partition that stays away shares a few places with all like him. Kafka as a whole is away when two
 * partitions or more are and none has acknowledged anything for a while: then also those who send to the others share a
 * few places, of their own, for one of them may be there. Any thread; times are clock_boot_ms'.
 *
 * Those who wait for the log store to apply a partition of the log have limits of the same kind for themselves
 * (log_progress.h).
 */
#pragma once

#include <stddef.h>

#include "api-gateway/requests/wait_limit.h"

#define SEND_TOPICS 3 /* to which workers send, and the log */
#define SEND_PARTITIONS_MAX 12

struct send_limits {
	int places; /* of either kind */
	int64_t patience_ms;
	struct wait_limit partitions[SEND_TOPICS][SEND_PARTITIONS_MAX];
	_Atomic int held;        /* places taken by those who send to a partition that stays away */
	_Atomic int trying;      /* by others, while Kafka as a whole does */
	_Atomic int64_t came_ms; /* the last acknowledgement */
};

/* Somebody who waits. */
struct send_wait {
	struct wait_limit *partition;
	_Atomic int *place; /* NULL: he needs none */
};

/* places: of either kind, at least 1; patience_ms: as wait_limit_init's. */
void send_limits_init(struct send_limits *limits, int places, int64_t patience_ms);
/* False: enough others wait for what stays away. True: send_limits_leave follows. The topic is one of the
 * three. */
bool send_limits_enter(struct send_limits *limits, const char *topic, const void *key, size_t key_len, int64_t now_ms,
					   struct send_wait *ret_wait) MUST_CHECK;
void send_limits_leave(struct send_limits *limits, const struct send_wait *wait, enum wait_end end, int64_t now_ms);
/* Is Kafka as a whole away, or this partition? NULL: none is known yet. */
bool send_limits_stay_away(const struct send_limits *limits, const struct wait_limit *partition, int64_t now_ms);
