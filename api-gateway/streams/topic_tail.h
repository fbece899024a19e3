/*
 * A tail: one thread that reads all partitions of some topics as they grow, by assign(), without a group. It begins as
 * soon as Kafka answers, and again after whatever breaks it; where it was before, it goes on.
 *
 * Partitions are numbered by slots: those of the first topic, then those of the second, and so on.
 */
#pragma once

#include <librdkafka/rdkafka.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/base/compiler.h"
#include "common/base/error.h"
#include "common/base/metrics.h"
#include "common/kafka/config.h"
#include "common/kafka/consumer.h"

#define TOPIC_TAIL_SLOTS_MAX 64

struct topic_tail;

/* Callbacks come from the tail's thread. */
struct topic_tail_options {
	const char *name;          /* of the thread, and for the log; static */
	const char *const *topics; /* static */
	size_t topics_len;
	struct kafka_settings settings; /* its texts must live as long as the tail */
	int64_t back_ms;                /* where it begins the first time: so long ago; -1 is the end */
	/* With back_ms >= 0: it begins no later than at this offset of a slot that ends at `end`. May wait a moment. NULL:
	 * wherever back_ms says. */
	int64_t (*wanted)(void *ctx, size_t slot, int64_t end);
	struct metric *begins_total; /* counts how often it began */
	/* Asked after each record and a few times a second, so that it may also do what is due then. While it is false,
	 * nothing is read, and the tail forgets where it was. NULL: always true. */
	bool (*turn)(void *ctx);
	/* It begins (again): before[slot] is where it would have gone on (-1: nowhere), now[slot] is where it does. */
	void (*began)(void *ctx, const int64_t *before, const int64_t *now);
	/* A record. topic_tail_position has passed it already. */
	void (*take)(void *ctx, size_t slot, const rd_kafka_message_t *message);
	void *ctx;
};

int topic_tail_start(const struct topic_tail_options *options, struct topic_tail **ret_tail,
					 struct error *err) MUST_CHECK;
/* Ends the thread and frees it. Takes NULL. */
void topic_tail_stop(struct topic_tail *tail);
/* `turn` may have become true. Any thread. */
void topic_tail_wake(struct topic_tail *tail);

size_t topic_tail_slots(const struct topic_tail *tail);
/* The slot of a topic's first partition. */
size_t topic_tail_first_slot(const struct topic_tail *tail, const char *topic);
/*
 * Every record below it was handed to `take`, or is in take's hands now; -1 when the tail has not begun. Sequentially
 * consistent with what `take` reads, so that "raise a flag that take looks at, then read the position" misses no
 * record: either take sees the flag, or the position is beyond the record. Any thread.
 */
int64_t topic_tail_position(const struct topic_tail *tail, size_t slot);

/* Log ends, asked of the brokers over a connection of its own. Any thread. ERR_UNAVAILABLE. */
int topic_tail_ends(struct topic_tail *tail, const struct kafka_position *positions, size_t count, int timeout_ms,
					int64_t *ret_offsets, struct error *err) MUST_CHECK;
/* Has it begun, and read up to what was the end then? Any thread. */
bool topic_tail_ready(const struct topic_tail *tail);
