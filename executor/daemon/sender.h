/* Everything that the daemon says but heartbeats: kept until Kafka has acknowledged it, and produced again with the
 * same id when it has not. Main thread only. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/base/error.h"
#include "common/base/ids.h"
#include "common/base/list.h"
#include "common/kafka/cloudevent.h"
#include "common/kafka/producer.h"
#include "executor/daemon/mailbox.h"

enum sent_kind {
	SENT_PLAIN,  /* nobody waits */
	SENT_FRAME,  /* a child waits: `serial` is its attempt, `frame_id` its frame */
	SENT_RESULT, /* it is not sent again meanwhile: `id` is under way in reported.h */
	SENT_HELLO,  /* `created_ms` counts as a heartbeat */
	SENT_BYE,
};

struct sent {
	struct list_node node; /* in one of the sender's lists, or unlinked while Kafka has it */
	enum sent_kind kind;
	bool patient; /* may wait SENDER_PATIENCE_MS for what comes after it */
	uint64_t serial, frame_id;
	int64_t created_ms;
	const char *topic, *type; /* static */
	char key[UUID_TEXT_SIZE], id[UUID_TEXT_SIZE];
	char traceparent[CLOUDEVENT_TRACEPARENT_SIZE]; /* of the assignment that it is about; "" = none */
	char *data;
	size_t len;
};

/* What one build says within this time is one record batch of Kafka's, and one transaction of the build service,
 * instead of several; lines of a log wait as long. */
#define SENDER_PATIENCE_MS 50

struct sender {
	struct kafka_producer *producer;
	struct mailbox *mailbox;
	struct list_node waiting; /* patient ones: they go before the next one that is not */
	int64_t waiting_ms;       /* when they go in any case, INT64_MAX = there are none */
	struct list_node retries;
	int64_t retry_ms; /* when the retry list is tried, INT64_MAX = it is empty */
	size_t pending;   /* not acknowledged */
};

void sender_init(struct sender *sender, struct kafka_producer *producer, struct mailbox *mailbox);
/* Frees what waits; what Kafka still has is freed with its mail. */
void sender_release(struct sender *sender);

/* Fill topic, type, key, kind …; `data` (heap) is handed over with the rest. An empty id gets a new one. */
void sender_send(struct sender *sender, struct sent sent);
/* For MAIL_DELIVERED: true when the message was acknowledged: then the caller looks at it and frees it (sent_free).
 * False: it will be tried again. */
bool sender_delivered(struct sender *sender, struct sent *sent, enum error_kind outcome);
void sender_tick(struct sender *sender, int64_t now_ms);
/* When sender_tick has something to do next (clock_boot_ms). */
int64_t sender_due_ms(const struct sender *sender);
void sent_free(struct sent *sent);
