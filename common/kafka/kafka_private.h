/* Shared inside of common/kafka only. */
#pragma once

#include <librdkafka/rdkafka.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

#include "common/base/buffer.h"
#include "common/kafka/producer.h"

/* The error callback's log line: at most one a second for the whole process, with the count of those that were left
 * out. */
void kafka_log_error(rd_kafka_t *handle, int code, const char *reason);

/* Does the cluster answer? One metadata request, the answer kept for KAFKA_PROBE_KEEP_MS. Any thread. */
#define KAFKA_PROBE_KEEP_MS 1000
/* A consumer's request may wait behind its own fetch, which the broker keeps for 500 ms. */
#define KAFKA_PROBE_TIMEOUT_MS 1000
struct kafka_probe {
	pthread_mutex_t lock;
	_Atomic int64_t asked_ms; /* 0 = never; the rest is under the lock */
	bool up;
	char why[160];
};
void kafka_probe_init(struct kafka_probe *probe);
void kafka_probe_release(struct kafka_probe *probe);
/* The kept answer is not good any more (a delivery failed). */
void kafka_probe_forget(struct kafka_probe *probe);
/* why may be NULL. */
bool kafka_probe_ask(struct kafka_probe *probe, rd_kafka_t *handle, struct buffer *why);

/* Do nothing: references that pull tsan_threads.c and steady_waits.c out of the archive. */
void kafka_tsan_threads(void);
void kafka_steady_waits(void);

/* For tests: makes the handle fatal as librdkafka would. */
void kafka_producer_break(struct kafka_producer *producer);
/* For tests: is anything on its way, or waits for its acknowledgement? */
bool kafka_producer_waits(struct kafka_producer *producer);
