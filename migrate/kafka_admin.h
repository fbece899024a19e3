/* A librdkafka handle for administration, with one queue for the answers. One thread. */
#pragma once

#include <librdkafka/rdkafka.h>
#include <stdbool.h>
#include <stdint.h>

#include "common/base/compiler.h"
#include "common/base/error.h"
#include "common/kafka/config.h"

struct kafka_admin {
	rd_kafka_t *handle;
	rd_kafka_queue_t *queue;
	int64_t deadline_ms; /* clock_boot_ms: of everything that this handle does */
};

/* Waits until at least `brokers` brokers answer, or the deadline. The caller's struct; kafka_admin_release it also
 * after a failure. */
int kafka_admin_open(struct kafka_admin *admin, const struct kafka_settings *settings, int brokers, int64_t deadline_ms,
					 struct error *err) MUST_CHECK;
void kafka_admin_release(struct kafka_admin *admin);

/* All topics; rd_kafka_metadata_destroy it. Tries again until the deadline. */
int kafka_admin_metadata(struct kafka_admin *admin, const struct rd_kafka_metadata **ret_metadata,
						 struct error *err) MUST_CHECK;
/* NULL when the topic is not there. */
const struct rd_kafka_metadata_topic *kafka_admin_find_topic(const struct rd_kafka_metadata *metadata,
															 const char *name);

/* Options with the time that is left; the caller's. */
rd_kafka_AdminOptions_t *kafka_admin_options(struct kafka_admin *admin, rd_kafka_admin_op_t operation);
/* The answer of the request just sent: an event of this type without an error, to be destroyed by the caller. */
int kafka_admin_answer(struct kafka_admin *admin, rd_kafka_event_type_t type, rd_kafka_event_t **ret_event,
					   struct error *err) MUST_CHECK;

/* Will trying again help? */
bool kafka_admin_is_transient(rd_kafka_resp_err_t code);
/* A pause between two tries; false when the deadline has passed. */
bool kafka_admin_pause(struct kafka_admin *admin);
