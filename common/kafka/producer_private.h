/* Shared inside of producer*.c only: producer.c has the handle's life, producer_send.c what goes through it,
 * producer_warm_up.c what makes it ready for that. */
#pragma once

#include <pthread.h>
#include <stdatomic.h>

#include "common/base/gate.h"
#include "common/kafka/kafka_private.h"
#include "common/kafka/producer.h"

#define TOPICS_MAX 16

struct kafka_producer {
	char *brokers, *properties_file, *client_id;
	struct kafka_producer_options options;

	struct gate gate; /* before the handle and its queue; every call behind it has a time-out */
	rd_kafka_t *handle;
	rd_kafka_queue_t *queue;                        /* its main queue, to wake the thread */
	_Atomic(rd_kafka_topic_t *) topics[TOPICS_MAX]; /* as kiln_topics; NULL: nothing was sent to it yet */
	_Atomic uint64_t generation;

	pthread_t thread;
	_Atomic bool fatal;         /* the handle is dead */
	_Atomic bool dying;         /* reports now come from a dead handle: nothing is sure */
	_Atomic bool has_id;        /* the idempotent producer has its id */
	_Atomic int64_t stop_at_ms; /* 0 = run; else drain until then */
	struct kafka_probe probe;
};
