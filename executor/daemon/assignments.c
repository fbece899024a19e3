#include "executor/daemon/assignments.h"

#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>

#include "common/base/alloc.h"
#include "common/base/clock.h"
#include "common/base/log.h"
#include "common/base/str.h"
#include "common/base/thread.h"
#include "common/kafka/cloudevent.h"
#include "common/kafka/consumer.h"
#include "common/kafka/topics.h"

#define POLL_MS 500
#define QUERY_MS 2000
#define WARM_UP_MS 1000
#define RETRY_MS 500
#define FULL_POLL_MS 10

struct assignments {
	struct kafka_settings settings; /* strings are the config's */
	struct kafka_producer *producer;
	char worker_id[UUID_TEXT_SIZE];
	struct mailbox *mailbox;
	int32_t partition;
	_Atomic int64_t position;
	atomic_bool stop;
	pthread_t thread;
	struct kafka_consumer *consumer; /* the thread's */
};

static int end_offset(struct assignments *self, int64_t *ret_end, struct error *err)
{
	struct kafka_consumer *asking;
	if (kafka_tail_new(&self->settings, NULL, 0, &asking, err) < 0)
		return -1;
	int64_t low;
	int rc = kafka_watermarks(asking, TOPIC_BUILD_ASSIGNMENTS, self->partition, QUERY_MS, &low, ret_end, err);
	kafka_consumer_free(asking);
	return rc;
}

/* The hello follows. Of a topic that its producer does not know yet it would be sent a second late. */
static void warm_up(struct assignments *self)
{
	static const char *const topics[] = {TOPIC_WORKER_EVENTS, TOPIC_BUILD_RESULTS, TOPIC_BUILD_LOGS};
	struct error err = ERROR_INIT;
	if (kafka_producer_warm_up(self->producer, topics, ARRAY_LEN(topics), clock_boot_ms() + WARM_UP_MS, &err) < 0)
		log_info("the hello may be late", "error", err.message, NULL);
}

/* From the end on: what was sent to earlier incarnations is not for us. */
static int open_at_end(struct assignments *self, struct error *err)
{
	struct kafka_position position = {.topic = TOPIC_BUILD_ASSIGNMENTS, .partition = self->partition};
	if (end_offset(self, &position.offset, err) < 0 ||
		kafka_tail_new(&self->settings, &position, 1, &self->consumer, err) < 0)
		return -1;
	atomic_store(&self->position, position.offset);
	struct mail *mail = xcalloc(1, sizeof(*mail));
	mail->kind = MAIL_POSITIONED;
	mail->value = position.offset;
	mailbox_post(self->mailbox, mail);
	return 0;
}

static void post(struct assignments *self, const rd_kafka_message_t *message)
{
	struct cloudevent_in event;
	struct error err = ERROR_INIT;
	if (cloudevent_read(message, &event, &err) < 0) {
		log_warn("a command is unreadable", "offset", LOG_INT(message->offset), "error", err.message, NULL);
		return;
	}
	while (!mailbox_command_room(self->mailbox) && !atomic_load(&self->stop))
		(void)poll(NULL, 0, FULL_POLL_MS); /* the main thread is far behind */
	struct mail *mail = xcalloc(1, sizeof(*mail));
	mail->kind = MAIL_COMMAND;
	mail->type = xstrdup(event.type);
	mail->data = xmemdup(message->payload, message->len);
	mail->len = message->len;
	memcpy(mail->traceparent, event.traceparent, sizeof(mail->traceparent));
	mailbox_post(self->mailbox, mail);
}

static void read_one(struct assignments *self)
{
	struct error err = ERROR_INIT;
	rd_kafka_message_t *message = kafka_consumer_poll(self->consumer, POLL_MS, &err);
	if (message == NULL) {
		if (err.kind ==
			ERR_NOT_FOUND) { /* fallen out of retention, or the log was cut: the heartbeats show where we are */
			log_error("assignments: the offset is gone, starting at the end", "error", err.message, NULL);
			kafka_consumer_free(self->consumer);
			self->consumer = NULL;
		}
		return;
	}
	if (message->key_len == strlen(self->worker_id) && memcmp(message->key, self->worker_id, message->key_len) == 0 &&
		message->payload != NULL)
		post(self, message);
	atomic_store(&self->position, message->offset + 1);
	rd_kafka_message_destroy(message);
}

static void *read_assignments(void *arg)
{
	struct assignments *self = arg;
	warm_up(self);
	while (!atomic_load(&self->stop)) {
		struct error err = ERROR_INIT;
		if (self->consumer != NULL) {
			read_one(self);
		} else if (open_at_end(self, &err) < 0) {
			log_warn("assignments: not yet", "error", err.message, NULL);
			(void)poll(NULL, 0, RETRY_MS); /* between attempts to reach Kafka */
		}
	}
	kafka_consumer_free(self->consumer);
	return NULL;
}

struct assignments *assignments_start(const struct kafka_settings *settings, struct kafka_producer *producer,
									  const char *worker_id, struct mailbox *mailbox)
{
	struct assignments *self = xcalloc(1, sizeof(*self));
	self->settings = *settings;
	self->producer = producer;
	self->mailbox = mailbox;
	(void)snprintf(self->worker_id, sizeof(self->worker_id), "%s", worker_id);
	self->partition = topic_partition(topic_find(TOPIC_BUILD_ASSIGNMENTS), worker_id, strlen(worker_id));
	atomic_store(&self->position, -1);
	struct error err = ERROR_INIT;
	CHECK(thread_start(&self->thread, "assignments", 0, read_assignments, self, &err) == 0);
	return self;
}

void assignments_stop(struct assignments *assignments)
{
	atomic_store(&assignments->stop, true);
	thread_join(assignments->thread);
	free(assignments);
}

int32_t assignments_partition(const struct assignments *assignments)
{
	return assignments->partition;
}

int64_t assignments_position(const struct assignments *assignments)
{
	return atomic_load(&assignments->position);
}
