/*
 * A group's partitions. The group says which are ours (`held`); what is read of them is decided by `taken`:
 *
 *   assigned by the group, or retake ─▶ assign nothing, asking ─▶ taken says 0 ─▶ assign(offsets) ─▶ reading
 *                                            ▲   └── -1: again after 1 s ──┘
 */
#include <limits.h>
#include <stdatomic.h>
#include <stdlib.h>

#include "common/base/alloc.h"
#include "common/base/clock.h"
#include "common/base/log.h"
#include "common/kafka/consumer_private.h"

#define ASK_AGAIN_MS 1000

static void assign(struct kafka_consumer *consumer, const rd_kafka_topic_partition_list_t *list)
{
	rd_kafka_resp_err_t code = rd_kafka_assign(consumer->handle, list);
	if (code != RD_KAFKA_RESP_ERR_NO_ERROR)
		log_error("kafka group: assign failed", "error", rd_kafka_err2str(code), NULL);
}

static void assign_nothing(struct kafka_consumer *consumer)
{
	/* An empty list, not NULL: the member stays one with an assignment of nothing. */
	rd_kafka_topic_partition_list_t *none = rd_kafka_topic_partition_list_new(0);
	assign(consumer, none);
	rd_kafka_topic_partition_list_destroy(none);
}

/* The caller's. Topics are those of the list. */
static struct kafka_position *positions_of(const rd_kafka_topic_partition_list_t *list)
{
	struct kafka_position *positions = xcalloc((size_t)list->cnt + 1, sizeof(*positions));
	for (int i = 0; i < list->cnt; i++) {
		positions[i].topic = list->elems[i].topic;
		positions[i].partition = list->elems[i].partition;
		positions[i].offset = KAFKA_OFFSET_STOP;
	}
	return positions;
}

void kafka_group_turn(struct kafka_consumer *consumer)
{
	if (!consumer->asking || clock_boot_ms() < consumer->ask_ms)
		return;
	size_t count = (size_t)consumer->held->cnt;
	CLEANUP(free_p) struct kafka_position *positions = positions_of(consumer->held);
	if (consumer->callbacks.taken(consumer->callbacks.ctx, positions, count) < 0) {
		consumer->ask_ms = clock_boot_ms() + ASK_AGAIN_MS;
		return;
	}
	consumer->asking = false;
	rd_kafka_topic_partition_list_t *list = kafka_positions_list(positions, count);
	assign(consumer, list);
	rd_kafka_topic_partition_list_destroy(list);
}

int kafka_group_due_ms(const struct kafka_consumer *consumer)
{
	return consumer->asking ? clock_left_ms(consumer->ask_ms) : INT_MAX;
}

void kafka_group_retake(struct kafka_consumer *consumer, int delay_ms)
{
	if (consumer->held == NULL)
		return;
	assign_nothing(consumer);
	consumer->asking = true;
	consumer->ask_ms = clock_boot_ms() + delay_ms;
}

static void drop_held(struct kafka_consumer *consumer)
{
	consumer->asking = false;
	if (consumer->held == NULL)
		return;
	CLEANUP(free_p) struct kafka_position *positions = positions_of(consumer->held);
	consumer->callbacks.lost(consumer->callbacks.ctx, positions, (size_t)consumer->held->cnt);
	rd_kafka_topic_partition_list_destroy(consumer->held);
	consumer->held = NULL;
}

void kafka_group_rebalance(rd_kafka_t *handle, rd_kafka_resp_err_t code, rd_kafka_topic_partition_list_t *list,
						   void *opaque)
{
	struct kafka_consumer *consumer = opaque;
	(void)handle;
	if (consumer->closing) {
		/* On the closing thread: the owner is no longer told. */
		assign(consumer, NULL);
		return;
	}
	drop_held(consumer);
	if (code != RD_KAFKA_RESP_ERR__ASSIGN_PARTITIONS) {
		if (code != RD_KAFKA_RESP_ERR__REVOKE_PARTITIONS)
			log_error("kafka group: rebalance", "error", rd_kafka_err2str(code), NULL);
		assign(consumer, NULL);
		return;
	}
	atomic_store(&consumer->joined, true);
	assign_nothing(consumer);
	if (list->cnt > 0) {
		/* `taken` asks the database and the broker: not from inside of librdkafka's callback, but at the poll's next
		 * turn. */
		consumer->held = rd_kafka_topic_partition_list_copy(list);
		consumer->asking = true;
		consumer->ask_ms = clock_boot_ms();
		rd_kafka_queue_yield(consumer->queue);
	}
}

bool kafka_group_joined(struct kafka_consumer *consumer)
{
	return atomic_load(&consumer->joined);
}

int kafka_group_new(const struct kafka_settings *settings, const char *group, const char *const *topics,
					size_t topics_len, const struct kafka_group_callbacks *callbacks,
					struct kafka_consumer **ret_consumer, struct error *err)
{
	struct kafka_consumer *consumer;
	if (kafka_consumer_open(settings, group, &consumer, err) < 0)
		return -1;
	consumer->callbacks = *callbacks;
	rd_kafka_topic_partition_list_t *list = rd_kafka_topic_partition_list_new((int)topics_len);
	for (size_t i = 0; i < topics_len; i++)
		rd_kafka_topic_partition_list_add(list, topics[i], RD_KAFKA_PARTITION_UA);
	rd_kafka_resp_err_t code = rd_kafka_subscribe(consumer->handle, list);
	rd_kafka_topic_partition_list_destroy(list);
	if (code != RD_KAFKA_RESP_ERR_NO_ERROR) {
		kafka_consumer_free(consumer);
		return error_set(err, ERR_INTERNAL, "kafka subscribe: %s", rd_kafka_err2str(code));
	}
	*ret_consumer = consumer;
	return 0;
}
