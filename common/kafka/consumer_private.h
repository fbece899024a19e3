/* Shared inside of common/kafka only. */
#pragma once

#include <pthread.h>

#include "common/kafka/consumer.h"
#include "common/kafka/kafka_private.h"

struct kafka_consumer {
	rd_kafka_t *handle;
	rd_kafka_queue_t *queue; /* the consumer's queue, to wake the poll */
	struct kafka_probe probe;
	pthread_mutex_t lock; /* cluster_id */
	char *cluster_id;

	/* The rest is the consumer's thread's. */
	bool closing;
	struct kafka_group_callbacks callbacks;
	rd_kafka_topic_partition_list_t *held; /* what the group gave us; NULL = nothing */
	bool asking;                           /* `taken` is to be asked for `held` at ask_ms; nothing is read until then */
	int64_t ask_ms;
	_Atomic bool joined;
};

int kafka_consumer_open(const struct kafka_settings *settings, const char *group, struct kafka_consumer **ret_consumer,
						struct error *err) MUST_CHECK;
void kafka_consumer_release(struct kafka_consumer *consumer);
/* Without the positions that are KAFKA_OFFSET_STOP. The caller's. */
rd_kafka_topic_partition_list_t *kafka_positions_list(const struct kafka_position *positions, size_t count);

/* Asks `taken` when it is due. */
void kafka_group_turn(struct kafka_consumer *consumer);
/* Milliseconds until then; INT_MAX when nothing is to be asked. */
int kafka_group_due_ms(const struct kafka_consumer *consumer);
void kafka_group_rebalance(rd_kafka_t *handle, rd_kafka_resp_err_t code, rd_kafka_topic_partition_list_t *list,
						   void *opaque);
