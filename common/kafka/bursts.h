/*
 * Nagle's algorithm (RFC 896) before a producer: a message that finds few others under way goes at once; one that finds
 * many waits until some of them are acknowledged, and then goes together with its share of what came meanwhile: as many
 * as make all bursts that may be under way equally large. So a lone message is never late, many make few requests, and
 * the broker works on one burst while the next comes together.
 *
 * librdkafka by itself has linger.ms alone, which makes all late, and 2.0.2's thread spins while messages wait because
 * an idempotent producer has five requests under way.
 *
 * Each partition has bursts of its own, so that one without an answer holds up no other. The producer's
 * message_timeout_ms must not be 0: it ends a burst (up to 1 s late, see producer.h), and with it the wait of others.
 */
#pragma once

#include "common/base/list.h"
#include "common/kafka/producer.h"

struct bursts;

/* A message, in the caller's memory. It and all that the message names (its data too, which is not copied) must stay as
 * they are until `done` is called, or bursts_produce returns -1. */
struct bursts_op {
	struct kafka_message message; /* with data_stays, without headers and generation */
	kafka_delivered *done;        /* not NULL */
	void *ctx;

	/* The bursts' own. */
	struct burst *burst; /* once it is sent */
	struct kafka_op under_way;
	struct list_node node; /* while it waits, as the next */
	int64_t since_ms;
};

struct bursts_limits {
	size_t under_way;     /* bursts of a partition; at least 1 */
	size_t waiting;       /* messages, of all partitions */
	size_t waiting_bytes; /* of their keys and values */
	int waiting_ms;       /* who has waited longer is not sent any more */
};

/* For one producer, which outlives all calls but bursts_free. */
struct bursts *bursts_new(struct kafka_producer *producer, const struct bursts_limits *limits);
/* After kafka_producer_free, which reports all that is under way and with it what waits. NULL will do. */
void bursts_free(struct bursts *bursts);

/*
 * As kafka_produce, with which it may be mixed, but for the memory. ERR_LIMIT also when too many wait. What waited has
 * its report like all others, with these additions:
 *   - a burst of which no message was acknowledged and one failed: what waits behind it fails, ERR_UNAVAILABLE;
 *   - one that waited longer than waiting_ms fails when its turn comes, ERR_UNAVAILABLE: it was never sent;
 *   - kafka_produce refuses it when its turn comes: the outcome is kafka_produce's error (ERR_LIMIT, ERR_INVALID, …),
 *     and the report may come on the thread of another message's bursts_produce.
 */
int bursts_produce(struct bursts *bursts, struct bursts_op *op, struct error *err) MUST_CHECK;
