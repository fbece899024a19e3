/*
 * A producer with a thread of its own that serves delivery reports. Recreates the librdkafka handle after a fatal error
 * (2.0.2 goes fatal on "sequence desynchronization"); messages of the dead handle are reported as ERR_UNKNOWN.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/base/buffer.h"
#include "common/base/compiler.h"
#include "common/base/error.h"
#include "common/kafka/cloudevent.h"
#include "common/kafka/config.h"

struct kafka_producer;

struct kafka_producer_options {
	int message_timeout_ms; /* gateway < 2000; heartbeats 5000; others 0 = never give up while the process lives.
							 * librdkafka looks once a second: the report comes up to 1 s later than this (measured:
							 * 1000 → 2.0 s), so who must answer in 2 s has a deadline of its own */
	int linger_ms;          /* how long a message waits for others; with 0 each one wakes librdkafka's thread */
	/* A retry repeats nothing and changes no order. At the price of at most five requests under way, one for each
	 * partition; while others wait for their turn, librdkafka 2.0.2's thread spins. Not for what is repeated anyway. */
	bool idempotent;
	bool gapless; /* for the outbox relay: a message that fails takes down the handle instead of leaving a gap that
					 later ones pass */
	int max_queued_messages; /* queue.buffering.max.messages */
	/* Its threads do not take a processor from those that fill its queue (thread_may_preempt): they are woken by the
	 * first message, and would send it without those that come right behind it. For a queue that many fill at once. */
	bool unhurried;
	/* NULL, or called on the producer's thread whenever it has given some reports and there are no more yet. */
	void (*reported)(void *ctx);
	void *reported_ctx;
};

/* The fate of one message. */
struct kafka_delivery {
	enum error_kind
		outcome; /* ERR_NONE = acknowledged; ERR_UNAVAILABLE = surely not written; ERR_UNKNOWN = may be written */
	int32_t partition;
	int64_t offset;     /* when acknowledged */
	const char *reason; /* static or valid during the callback */
};
typedef void kafka_delivered(void *ctx, const struct kafka_delivery *delivery);

int kafka_producer_new(const struct kafka_settings *settings, const struct kafka_producer_options *options,
					   struct kafka_producer **ret_producer, struct error *err) MUST_CHECK;
/* Flushes up to drain_ms, then reports what is left as failed, joins the thread. */
void kafka_producer_free(struct kafka_producer *producer, int drain_ms);

struct kafka_message {
	const char *topic;
	int32_t partition; /* -1: by key, murmur2 */
	const char *key;
	size_t key_len;
	const void *data;
	size_t data_len;
	bool data_stays;                   /* and is as it is until the report: it is not copied */
	const struct cloudevent *event;    /* may be NULL when headers is given */
	const rd_kafka_headers_t *headers; /* sent instead of the event's (copied); NULL = the event's */
	uint64_t generation; /* only by this incarnation of the handle (kafka_producer_generation), else ERR_UNAVAILABLE; 0
							= any */
};

/*
 * Queues a copy. `done` (may be NULL) is called exactly once on the producer's thread when the fate is known, unless
 * this returns -1: ERR_LIMIT (queue full), ERR_INVALID (too large), ERR_INTERNAL (Kafka has no such topic or
 * partition), ERR_UNAVAILABLE (the handle is being replaced). Any thread. Never blocks.
 */
int kafka_produce(struct kafka_producer *producer, const struct kafka_message *message, kafka_delivered *done,
				  void *ctx, struct error *err) MUST_CHECK;

/* Who hears of a message's fate: `done`, which is not NULL, with `ctx`. */
struct kafka_op {
	kafka_delivered *done;
	void *ctx;
	bool allocated; /* the producer's */
};
/* The same with memory of the caller's, which it is again when `done` is called or after -1. */
int kafka_produce_op(struct kafka_producer *producer, const struct kafka_message *message, struct kafka_op *op,
					 struct error *err) MUST_CHECK;

/* The same and waits for the acknowledgement until the deadline (clock_boot_ms). ERR_TIMEOUT's message may still be
 * written. */
int kafka_produce_wait(struct kafka_producer *producer, const struct kafka_message *message, int64_t deadline_ms,
					   struct error *err) MUST_CHECK;
/* Tells where the record lies, too; *ret_place (without a reason) is untouched on failure. */
int kafka_produce_wait_place(struct kafka_producer *producer, const struct kafka_message *message, int64_t deadline_ms,
							 struct kafka_delivery *ret_place, struct error *err) MUST_CHECK;

/*
 * The number of the present librdkafka handle. It is replaced after a fatal error, when all deliveries of the old one
 * were reported. Who needs order across messages passes the generation read before the first of them: then no later one
 * can overtake an earlier one that failed with the old handle.
 */
uint64_t kafka_producer_generation(struct kafka_producer *producer);

/* Whether the brokers answer now: some broker connection is up and the last delivery did not fail. For /readyz. */
bool kafka_producer_ready(struct kafka_producer *producer, struct buffer *why);
/* Waits until topic metadata is there and the idempotent producer has its id (the first produce is up to 1 s late
 * otherwise). */
int kafka_producer_warm_up(struct kafka_producer *producer, const char *const *topics, size_t count,
						   int64_t deadline_ms, struct error *err) MUST_CHECK;
