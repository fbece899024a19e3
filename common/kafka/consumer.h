/*
 * Two ways to read.
 *
 * kafka_tail: assign() of given partitions from given offsets (or the end, or a time ago), no group: gateway tails,
 * executor assignments. kafka_group: a member of a group (range assignor, session time-out 6 s) that only learns which
 * partitions are its own; offsets come from the caller (Postgres), never from Kafka. auto.offset.reset=error in both.
 *
 * A consumer belongs to one thread, which must poll often.
 */
#pragma once

#include <librdkafka/rdkafka.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/base/compiler.h"
#include "common/base/error.h"
#include "common/kafka/config.h"

struct kafka_consumer;

struct kafka_position {
	const char *topic;
	int32_t partition;
	int64_t offset; /* or KAFKA_OFFSET_END */
};
#define KAFKA_OFFSET_END (-1)

int kafka_tail_new(const struct kafka_settings *settings, const struct kafka_position *positions, size_t count,
				   struct kafka_consumer **ret_consumer, struct error *err) MUST_CHECK;

/* A tail reads these instead of what it has read so far; of that nothing comes any more. */
int kafka_tail_assign(struct kafka_consumer *consumer, const struct kafka_position *positions, size_t count,
					  struct error *err) MUST_CHECK;

/* Called from kafka_consumer_poll on its thread. `taken` fills in the offset to start from for each position (or sets
 * it to KAFKA_OFFSET_STOP to leave that partition unread); -1 means: cannot say now; the consumer asks again after 1 s.
 * `lost` must stop using the partitions before it returns. */
#define KAFKA_OFFSET_STOP (-2)
struct kafka_group_callbacks {
	int (*taken)(void *ctx, struct kafka_position *positions, size_t count);
	void (*lost)(void *ctx, const struct kafka_position *positions, size_t count);
	void *ctx;
};
int kafka_group_new(const struct kafka_settings *settings, const char *group, const char *const *topics,
					size_t topics_len, const struct kafka_group_callbacks *callbacks,
					struct kafka_consumer **ret_consumer, struct error *err) MUST_CHECK;

void kafka_consumer_free(struct kafka_consumer *consumer); /* bounded: 5 s, then the handle is left to the exit */

/* The next record, or NULL at the time-out. Destroy it with rd_kafka_message_destroy. Consumer errors that need no
 * action are logged inside; an offset that is gone (retention) is reported with ERR_NOT_FOUND in *err and NULL. */
rd_kafka_message_t *kafka_consumer_poll(struct kafka_consumer *consumer, int timeout_ms, struct error *err) MUST_CHECK;

/* Group: reads nothing more, and asks `taken` again for all its partitions after delay_ms (a compare-and-set failed;
 * offsets are to be read again). What was fetched before is dropped. Rebalances are served meanwhile. Does nothing when
 * no partition is held. */
void kafka_group_retake(struct kafka_consumer *consumer, int delay_ms);
/* Group: has the group assigned anything (or nothing) to this member yet? Any thread. */
bool kafka_group_joined(struct kafka_consumer *consumer);
/* Makes a kafka_consumer_poll under way return NULL at once. Any thread. */
void kafka_consumer_wake(struct kafka_consumer *consumer);

/* Log start and end of a partition, asked of the broker. Any thread. */
int kafka_watermarks(struct kafka_consumer *consumer, const char *topic, int32_t partition, int timeout_ms,
					 int64_t *ret_low, int64_t *ret_high, struct error *err) MUST_CHECK;
/* The same for many at once, in one round of requests: lows[i] and highs[i] belong to positions[i]; either may be NULL.
 * One failure fails the call. */
int kafka_watermarks_of(struct kafka_consumer *consumer, const struct kafka_position *positions, size_t count,
						int timeout_ms, int64_t *ret_lows, int64_t *ret_highs, struct error *err) MUST_CHECK;
/* First offset at or after a time; the end when there is none. */
int kafka_offset_at(struct kafka_consumer *consumer, const char *topic, int32_t partition, int64_t wall_ms,
					int timeout_ms, int64_t *ret_offset, struct error *err) MUST_CHECK;
/* The cluster's id, or NULL when not known yet. Valid as long as the consumer. */
const char *kafka_cluster_id(struct kafka_consumer *consumer, int timeout_ms);
bool kafka_consumer_connected(struct kafka_consumer *consumer);
