/*
 * Opening, polling and closing of both kinds of consumers; the group's partitions are group.c's, questions to the
 * broker are offsets.c's.
 */
#include "common/kafka/consumer.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/alloc.h"
#include "common/base/clock.h"
#include "common/base/cond.h"
#include "common/base/log.h"
#include "common/base/mutex.h"
#include "common/base/thread.h"
#include "common/kafka/consumer_private.h"
#include "common/kafka/topics.h"

#define CLOSE_MS 5000
#define CLOSER_STACK_BYTES (256UL * 1024)

static int make_conf(const struct kafka_settings *settings, const char *group, rd_kafka_conf_t **ret_conf,
					 struct error *err)
{
	char max_message[24], min_bytes[24], wait_ms[24];
	(void)snprintf(max_message, sizeof(max_message), "%d", KAFKA_MAX_MESSAGE_BYTES);
	(void)snprintf(min_bytes, sizeof(min_bytes), "%d", settings->fetch_min_bytes > 0 ? settings->fetch_min_bytes : 1);
	(void)snprintf(wait_ms, sizeof(wait_ms), "%d", settings->fetch_wait_ms > 0 ? settings->fetch_wait_ms : 500);
	const char *const values[][2] = {
		{"group.id", group},
		{"partition.assignment.strategy", "range"},
		{"session.timeout.ms", "6000"},
		{"heartbeat.interval.ms", "400"}, /* by which the others hear that one has left */
		{"enable.auto.commit", "false"},
		{"enable.auto.offset.store", "false"},
		{"auto.offset.reset", "error"},
		{"enable.partition.eof", "false"},
		{"isolation.level", "read_committed"},
		/* A topic that is made after this consumer is found this soon. */
		{"topic.metadata.refresh.interval.ms", "10000"},
		{"fetch.min.bytes", min_bytes},
		{"fetch.wait.max.ms", wait_ms},
		{"fetch.error.backoff.ms", "50"},
		{"fetch.message.max.bytes", max_message},
		{"fetch.max.bytes", max_message},
		/* All partitions together. 2.0.2 pauses for 1 s when it is reached: it must hold more than is read in a second.
		 */
		{"queued.max.messages.kbytes", "32768"},
	};
	rd_kafka_conf_t *conf;
	if (kafka_conf_new(settings, &conf, err) < 0)
		return -1;
	for (size_t i = 0; i < ARRAY_LEN(values); i++) {
		if (kafka_conf_set(conf, values[i][0], values[i][1], err) < 0) {
			rd_kafka_conf_destroy(conf);
			return -1;
		}
	}
	*ret_conf = conf;
	return 0;
}

int kafka_consumer_open(const struct kafka_settings *settings, const char *group, struct kafka_consumer **ret_consumer,
						struct error *err)
{
	rd_kafka_conf_t *conf;
	if (make_conf(settings, group, &conf, err) < 0)
		return -1;
	struct kafka_consumer *consumer = xcalloc(1, sizeof(*consumer));
	kafka_probe_init(&consumer->probe);
	mutex_init(&consumer->lock);
	rd_kafka_conf_set_opaque(conf, consumer);
	rd_kafka_conf_set_rebalance_cb(conf, kafka_group_rebalance);
	char text[256];
	consumer->handle = rd_kafka_new(RD_KAFKA_CONSUMER, conf, text, sizeof(text));
	if (consumer->handle == NULL) {
		rd_kafka_conf_destroy(conf);
		kafka_consumer_release(consumer);
		return error_set(err, ERR_INTERNAL, "kafka consumer: %s", text);
	}
	(void)rd_kafka_poll_set_consumer(consumer->handle); /* only fails for producers */
	consumer->queue = rd_kafka_queue_get_consumer(consumer->handle);
	*ret_consumer = consumer;
	return 0;
}

void kafka_consumer_release(struct kafka_consumer *consumer)
{
	kafka_probe_release(&consumer->probe);
	(void)pthread_mutex_destroy(&consumer->lock); /* nobody holds it */
	if (consumer->held != NULL)
		rd_kafka_topic_partition_list_destroy(consumer->held);
	free(consumer->cluster_id);
	free(consumer);
}

rd_kafka_topic_partition_list_t *kafka_positions_list(const struct kafka_position *positions, size_t count)
{
	rd_kafka_topic_partition_list_t *list = rd_kafka_topic_partition_list_new((int)count);
	for (size_t i = 0; i < count; i++) {
		if (positions[i].offset != KAFKA_OFFSET_STOP)
			rd_kafka_topic_partition_list_add(list, positions[i].topic, positions[i].partition)->offset =
				positions[i].offset;
	}
	return list;
}

int kafka_tail_assign(struct kafka_consumer *consumer, const struct kafka_position *positions, size_t count,
					  struct error *err)
{
	rd_kafka_topic_partition_list_t *list = kafka_positions_list(positions, count);
	rd_kafka_resp_err_t code = rd_kafka_assign(consumer->handle, list);
	rd_kafka_topic_partition_list_destroy(list);
	return code == RD_KAFKA_RESP_ERR_NO_ERROR
			   ? 0
			   : error_set(err, ERR_INTERNAL, "kafka assign: %s", rd_kafka_err2str(code));
}

int kafka_tail_new(const struct kafka_settings *settings, const struct kafka_position *positions, size_t count,
				   struct kafka_consumer **ret_consumer, struct error *err)
{
	struct kafka_consumer *consumer;
	/* librdkafka wants a group name for its poll; nothing joins or commits, so it never exists on the broker. */
	if (kafka_consumer_open(settings, "kiln-tail", &consumer, err) < 0)
		return -1;
	if (kafka_tail_assign(consumer, positions, count, err) < 0) {
		kafka_consumer_free(consumer);
		return -1;
	}
	*ret_consumer = consumer;
	return 0;
}

/* Errors inside of the stream of records. Returns -1 for the one that the caller must act on. */
static int stream_error(struct kafka_consumer *consumer, const rd_kafka_message_t *message, struct error *err)
{
	const char *topic = message->rkt == NULL ? "" : rd_kafka_topic_name(message->rkt);
	if (message->err == RD_KAFKA_RESP_ERR__AUTO_OFFSET_RESET || message->err == RD_KAFKA_RESP_ERR_OFFSET_OUT_OF_RANGE)
		return error_set(err, ERR_NOT_FOUND, "kafka: %s/%d: %s", topic, message->partition,
						 rd_kafka_message_errstr(message));
	kafka_log_error(consumer->handle, message->err, rd_kafka_message_errstr(message));
	return 0;
}

rd_kafka_message_t *kafka_consumer_poll(struct kafka_consumer *consumer, int timeout_ms, struct error *err)
{
	err->kind = ERR_NONE;
	int64_t deadline_ms = clock_boot_ms() + timeout_ms;
	do {
		kafka_group_turn(consumer);
		int left_ms = clock_left_ms(deadline_ms);
		int due_ms = kafka_group_due_ms(consumer);
		rd_kafka_message_t *message = rd_kafka_consumer_poll(consumer->handle, left_ms < due_ms ? left_ms : due_ms);
		if (message == NULL) {
			if (left_ms < due_ms)
				return NULL; /* the time-out, or a wake-up */
			continue;
		}
		if (message->err == RD_KAFKA_RESP_ERR_NO_ERROR)
			return message;
		int result = stream_error(consumer, message, err);
		rd_kafka_message_destroy(message);
		if (result < 0)
			return NULL;
	} while (clock_left_ms(deadline_ms) > 0);
	return NULL;
}

void kafka_consumer_wake(struct kafka_consumer *consumer)
{
	rd_kafka_queue_yield(consumer->queue);
}

bool kafka_consumer_connected(struct kafka_consumer *consumer)
{
	return kafka_probe_ask(&consumer->probe, consumer->handle, NULL);
}

/* Closing talks to the broker and may take long: a thread does it, and kafka_consumer_free waits for it within bounds.
 */
struct closer {
	struct kafka_consumer *consumer;
	pthread_mutex_t lock;
	pthread_cond_t changed;
	bool closed, abandoned;
};

static void closer_free(struct closer *closer)
{
	(void)pthread_mutex_destroy(&closer->lock); /* nobody holds it */
	(void)pthread_cond_destroy(&closer->changed);
	free(closer);
}

static void *close_consumer(void *arg)
{
	struct closer *closer = arg;
	struct kafka_consumer *consumer = closer->consumer;
	rd_kafka_resp_err_t code = rd_kafka_consumer_close(consumer->handle);
	if (code != RD_KAFKA_RESP_ERR_NO_ERROR)
		log_warn("kafka consumer: close", "error", rd_kafka_err2str(code), NULL);
	rd_kafka_queue_destroy(consumer->queue);
	rd_kafka_destroy(consumer->handle);
	kafka_consumer_release(consumer);
	mutex_lock(&closer->lock);
	closer->closed = true;
	bool abandoned = closer->abandoned;
	CHECK(pthread_cond_signal(&closer->changed) == 0);
	mutex_unlock(&closer->lock);
	if (abandoned)
		closer_free(closer);
	return NULL;
}

static struct closer *closer_new(struct kafka_consumer *consumer)
{
	struct closer *closer = xcalloc(1, sizeof(*closer));
	closer->consumer = consumer;
	mutex_init(&closer->lock);
	cond_init(&closer->changed);
	return closer;
}

void kafka_consumer_free(struct kafka_consumer *consumer)
{
	if (consumer == NULL)
		return;
	consumer->closing = true;
	struct closer *closer = closer_new(consumer);
	pthread_t thread;
	struct error err = ERROR_INIT;
	CHECK(thread_start(&thread, "kafka-closer", CLOSER_STACK_BYTES, close_consumer, closer, &err) == 0);
	thread_detach(thread);

	struct timespec until = cond_deadline(CLOSE_MS);
	mutex_lock(&closer->lock);
	while (!closer->closed && cond_wait_until(&closer->changed, &closer->lock, &until))
		;
	closer->abandoned = !closer->closed;
	bool closed = closer->closed;
	mutex_unlock(&closer->lock);
	if (closed)
		closer_free(closer);
	else
		log_warn("kafka consumer: still closing, left to the exit", NULL);
}
