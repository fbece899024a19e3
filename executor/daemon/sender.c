#include "executor/daemon/sender.h"

#include <stdlib.h>

#include "common/base/alloc.h"
#include "common/base/clock.h"
#include "common/base/log.h"

#define RETRY_MS 100
#define SOURCE "/kiln/executor"

void sender_init(struct sender *sender, struct kafka_producer *producer, struct mailbox *mailbox)
{
	*sender = (struct sender){.producer = producer, .mailbox = mailbox, .waiting_ms = INT64_MAX, .retry_ms = INT64_MAX};
	list_init(&sender->waiting);
	list_init(&sender->retries);
}

void sent_free(struct sent *sent)
{
	free(sent->data);
	free(sent);
}

void sender_release(struct sender *sender)
{
	struct list_node *const lists[] = {&sender->waiting, &sender->retries};
	for (size_t i = 0; i < ARRAY_LEN(lists); i++) {
		for (struct list_node *node = list_pop(lists[i]); node != NULL; node = list_pop(lists[i]))
			sent_free(LIST_ITEM(node, struct sent, node));
	}
}

/* What a delivery callback needs, on the producer's thread. */
struct delivery {
	struct mailbox *mailbox;
	struct sent *sent;
};

static void delivered(void *ctx, const struct kafka_delivery *delivery)
{
	struct delivery *waiting = ctx;
	struct mail *mail = xcalloc(1, sizeof(*mail));
	mail->kind = MAIL_DELIVERED;
	mail->message = waiting->sent;
	mail->outcome = delivery->outcome;
	mailbox_post(waiting->mailbox, mail);
	free(waiting);
}

static void try_later(struct sender *sender, struct sent *sent)
{
	list_append(&sender->retries, &sent->node);
	if (sender->retry_ms == INT64_MAX)
		sender->retry_ms = clock_boot_ms() + RETRY_MS;
}

static void produce(struct sender *sender, struct sent *sent)
{
	struct cloudevent event = {.id = sent->id, .type = sent->type, .source = SOURCE, .subject = sent->key};
	if (sent->traceparent[0] != '\0')
		event.traceparent = sent->traceparent;
	struct kafka_message message = {
		.topic = sent->topic,
		.partition = -1,
		.key = sent->key,
		.key_len = strlen(sent->key),
		.data = sent->data,
		.data_len = sent->len,
		.event = &event,
	};
	struct delivery *waiting = xmalloc(sizeof(*waiting));
	*waiting = (struct delivery){.mailbox = sender->mailbox, .sent = sent};
	struct error err = ERROR_INIT;
	if (kafka_produce(sender->producer, &message, delivered, waiting, &err) == 0)
		return;
	free(waiting);
	/* Too large, which cannot be, for all that we make is bounded (outcome.h); or for a topic that is not there: said
	 * loudly, since somebody waits for it. */
	if (err.kind == ERR_INVALID || err.kind == ERR_INTERNAL)
		log_error("a message cannot be sent", "type", sent->type, "error", err.message, NULL);
	try_later(sender, sent);
}

static void produce_waiting(struct sender *sender)
{
	sender->waiting_ms = INT64_MAX;
	for (struct list_node *node = list_pop(&sender->waiting); node != NULL; node = list_pop(&sender->waiting))
		produce(sender, LIST_ITEM(node, struct sent, node));
}

void sender_send(struct sender *sender, struct sent sent)
{
	struct sent *copy = xmalloc(sizeof(*copy));
	*copy = sent;
	list_init(&copy->node);
	if (copy->id[0] == '\0')
		uuid_v4(copy->id);
	sender->pending++;
	if (copy->patient) {
		list_append(&sender->waiting, &copy->node);
		if (sender->waiting_ms == INT64_MAX)
			sender->waiting_ms = clock_boot_ms() + SENDER_PATIENCE_MS;
		return;
	}
	produce_waiting(sender);
	produce(sender, copy);
}

bool sender_delivered(struct sender *sender, struct sent *sent, enum error_kind outcome)
{
	if (outcome == ERR_NONE) {
		sender->pending--;
		return true;
	}
	log_warn("a message is sent again", "type", sent->type, "key", sent->key, "fate", error_kind_name(outcome), NULL);
	try_later(sender, sent);
	return false;
}

int64_t sender_due_ms(const struct sender *sender)
{
	return sender->waiting_ms < sender->retry_ms ? sender->waiting_ms : sender->retry_ms;
}

void sender_tick(struct sender *sender, int64_t now_ms)
{
	if (now_ms >= sender->waiting_ms)
		produce_waiting(sender);
	if (now_ms < sender->retry_ms)
		return;
	struct list_node due;
	list_init(&due);
	for (struct list_node *node = list_pop(&sender->retries); node != NULL; node = list_pop(&sender->retries))
		list_append(&due, node);
	sender->retry_ms = INT64_MAX;
	for (struct list_node *node = list_pop(&due); node != NULL; node = list_pop(&due))
		produce(sender, LIST_ITEM(node, struct sent, node));
}
