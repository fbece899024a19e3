/* Records in hand: which of those that Kafka brings are taken, and which mean that something is wrong. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/alloc.h"
#include "common/base/clock.h"
#include "common/base/log.h"
#include "common/pg/inbox_private.h"

struct inbox_partition *inbox_find(const struct inbox *inbox, const char *topic, int32_t partition)
{
	for (size_t i = 0; i < inbox->options.topics_len; i++) {
		const struct inbox_topic *candidate = &inbox->topics[i];
		if (strcmp(candidate->name, topic) == 0)
			return partition >= 0 && partition < candidate->len ? &candidate->partitions[partition] : NULL;
	}
	return NULL;
}

static void item_free(struct inbox_item *item)
{
	rd_kafka_message_destroy(item->message);
	free(item);
}

void inbox_drop_items(struct inbox *inbox)
{
	for (size_t i = 0; i < inbox->len; i++)
		item_free(inbox->items[i]);
	inbox->len = 0;
	inbox->bytes = 0;
	inbox->urgent = false;
}

static bool is_urgent(const struct inbox *inbox, const struct inbox_item *item)
{
	const struct inbox_handler *handler = &inbox->options.handler;
	return handler->urgent != NULL && handler->urgent(handler->ctx, &item->record);
}

void inbox_drop_applied(struct inbox *inbox, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		inbox->bytes -= inbox->items[i]->record.data_len;
		item_free(inbox->items[i]);
	}
	inbox->len -= count;
	inbox->urgent = false;
	for (size_t i = 0; i < inbox->len; i++) {
		inbox->items[i] = inbox->items[count + i];
		inbox->urgent |= is_urgent(inbox, inbox->items[i]);
	}
}

static struct inbox_partition *partition_of(const struct inbox *inbox, const struct inbox_item *item)
{
	return inbox_find(inbox, item->record.topic, item->record.partition);
}

size_t inbox_urgent_first(struct inbox *inbox)
{
	for (size_t i = 0; i < inbox->len; i++)
		partition_of(inbox, inbox->items[i])->urgent = false;
	for (size_t i = 0; i < inbox->len; i++)
		partition_of(inbox, inbox->items[i])->urgent |= is_urgent(inbox, inbox->items[i]);
	size_t urgent = 0, others = 0;
	for (size_t i = 0; i < inbox->len; i++) {
		struct inbox_item *item = inbox->items[i];
		if (partition_of(inbox, item)->urgent)
			inbox->items[urgent++] = item;
		else
			inbox->aside[others++] = item;
	}
	for (size_t i = 0; i < others; i++)
		inbox->items[urgent + i] = inbox->aside[i];
	return urgent;
}

void inbox_retake(struct inbox *inbox, int delay_ms)
{
	inbox_drop_items(inbox);
	inbox->paused = true;
	kafka_group_retake(inbox->consumer, delay_ms);
}

static struct inbox_item *item_new(struct inbox *inbox, const struct inbox_partition *partition,
								   rd_kafka_message_t *message)
{
	struct inbox_item *item = xmalloc(sizeof(*item) + message->key_len + message->len + 2);
	char *key = item->text;
	char *data = key + message->key_len + 1;
	if (message->key_len > 0)
		memcpy(key, message->key, message->key_len);
	if (message->len > 0)
		memcpy(data, message->payload, message->len);
	key[message->key_len] = '\0';
	data[message->len] = '\0';
	rd_kafka_timestamp_type_t type;
	item->message = message;
	item->record = (struct inbox_record){
		.topic = inbox->topics[partition->topic].name,
		.partition = message->partition,
		.offset = message->offset,
		.key = key,
		.data = data,
		.data_len = message->len,
		.append_ms = rd_kafka_message_timestamp(message, &type),
	};
	struct error err = ERROR_INIT;
	item->record.legible = cloudevent_read(message, &item->record.event, &err) == 0;
	return item;
}

/* The record at next-1: is it the one that was applied last? */
static void verify(struct inbox *inbox, struct inbox_partition *partition, const rd_kafka_message_t *message)
{
	char reason[256];
	struct cloudevent_in event = {.sequence = 0};
	struct error err = ERROR_INIT;
	bool legible = cloudevent_read(message, &event, &err) == 0;
	partition->verify = false;
	if (message->offset != partition->next - 1)
		(void)snprintf(reason, sizeof(reason), "the log goes on at %lld where the record before the offset should be",
					   (long long)message->offset);
	else if (partition->last_ce_id[0] != '\0' && (!legible || strcmp(event.id, partition->last_ce_id) != 0))
		(void)snprintf(reason, sizeof(reason), "the record before the offset is %.120s, not the one that was applied",
					   legible ? event.id : "illegible");
	else
		return;
	inbox_stop_partition(inbox, partition, reason);
	inbox_retake(inbox, 0);
}

void inbox_take_message(struct inbox *inbox, rd_kafka_message_t *message)
{
	struct inbox_partition *partition = inbox_find(inbox, rd_kafka_topic_name(message->rkt), message->partition);
	bool wanted = !inbox->paused && partition != NULL && partition->state == INBOX_MINE;
	if (wanted && partition->verify) {
		verify(inbox, partition, message);
		wanted = false;
	}
	if (!wanted || message->offset < partition->read) {
		rd_kafka_message_destroy(message);
		return;
	}
	if (message->offset > partition->read && partition->gap != message->offset) {
		/* No topic of ours has gaps (no compaction, no transactions). Skipping records is the one thing that must not
		 * happen: read again, and take it only when the log says the same twice. */
		log_warn("inbox: gap in the log, reading again", "consumer", inbox->options.consumer, "topic",
				 inbox->topics[partition->topic].name, "partition", LOG_INT(partition->partition), "expected",
				 LOG_INT(partition->read), "got", LOG_INT(message->offset), NULL);
		partition->gap = message->offset;
		rd_kafka_message_destroy(message);
		inbox_retake(inbox, 0);
		return;
	}
	struct inbox_item *item = item_new(inbox, partition, message);
	partition->read = message->offset + 1;
	if (inbox->len == 0) {
		int64_t until_ms = clock_boot_ms() + inbox->options.linger_ms;
		inbox->linger_until_ms = until_ms > inbox->rest_until_ms ? until_ms : inbox->rest_until_ms;
	}
	inbox->urgent |= is_urgent(inbox, item);
	inbox->bytes += message->len;
	inbox->items[inbox->len++] = item;
}
