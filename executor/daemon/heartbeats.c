#include "executor/daemon/heartbeats.h"

#include <stdlib.h>

#include "common/base/alloc.h"
#include "common/base/clock.h"
#include "common/base/log.h"
#include "common/kafka/topics.h"
#include "executor/daemon/attempts.h"
#include "executor/daemon/messages.h"

#define MESSAGE_TIMEOUT_MS 5000
#define MAX_QUEUED 100
#define MAX_BYTES ((size_t)1024 * 1024)

int heartbeats_init(struct daemon *daemon, const struct kafka_settings *settings, struct error *err)
{
	struct kafka_producer_options options = {.message_timeout_ms = MESSAGE_TIMEOUT_MS,
											 .max_queued_messages = MAX_QUEUED};
	return kafka_producer_new(settings, &options, &daemon->heartbeat_producer, err);
}

/* A heartbeat under way. */
struct beat {
	struct mailbox *mailbox;
	int64_t created_ms;
};

static void delivered(void *ctx, const struct kafka_delivery *delivery)
{
	struct beat *beat = ctx;
	if (delivery->outcome == ERR_NONE) {
		struct mail *mail = xcalloc(1, sizeof(*mail));
		mail->kind = MAIL_HEARTBEAT;
		mail->value = beat->created_ms;
		mailbox_post(beat->mailbox, mail);
	} else {
		log_warn("a heartbeat was not acknowledged", "reason", delivery->reason, NULL);
	}
	free(beat);
}

static void send_beat(struct daemon *daemon, int64_t now_ms)
{
	CLEANUP(buffer_release_p) struct buffer text;
	buffer_init(&text, MAX_BYTES);
	messages_write_state(daemon, &text);
	char id[UUID_TEXT_SIZE];
	uuid_v4(id);
	const char *worker_id = daemon->identity.worker_id;
	struct cloudevent event = {.id = id, .type = "worker.heartbeat", .source = "/kiln/executor", .subject = worker_id};
	struct kafka_message message = {
		.topic = TOPIC_WORKER_EVENTS,
		.partition = -1,
		.key = worker_id,
		.key_len = strlen(worker_id),
		.data = text.data,
		.data_len = text.len,
		.event = &event,
	};
	struct beat *beat = xmalloc(sizeof(*beat));
	*beat = (struct beat){.mailbox = daemon->mailbox, .created_ms = now_ms};
	struct error err = ERROR_INIT;
	if (kafka_produce(daemon->heartbeat_producer, &message, delivered, beat, &err) == 0)
		return;
	free(beat);
	log_warn("a heartbeat was not sent", "error", err.message, NULL);
}

void heartbeats_acked(struct daemon *daemon, int64_t created_ms)
{
	if (created_ms <= atomic_load(&daemon->view.heartbeat_acked_ms))
		return;
	atomic_store(&daemon->view.heartbeat_acked_ms, created_ms);
	if (daemon->dead && clock_boot_ms() < created_ms + daemon->config->dead_man_ms) {
		log_info("heartbeats are acknowledged again", NULL);
		daemon->dead = false;
	}
}

void heartbeats_check(struct daemon *daemon, int64_t now_ms)
{
	int64_t acked_ms = atomic_load(&daemon->view.heartbeat_acked_ms);
	if (acked_ms == 0 || daemon->dead || now_ms < acked_ms + daemon->config->dead_man_ms)
		return;
	log_error("no heartbeat was acknowledged for too long: killing all agents", "last_ms_ago",
			  LOG_INT(now_ms - acked_ms), NULL);
	daemon->dead = true;
	attempts_kill_all(daemon, "worker_lost", "the worker lost its connection to Kafka");
}

void heartbeats_tick(struct daemon *daemon, int64_t now_ms)
{
	if ((daemon->state != DAEMON_READY && daemon->state != DAEMON_GREETING) || now_ms < daemon->heartbeat_due_ms)
		return;
	daemon->heartbeat_due_ms = now_ms + daemon->config->heartbeat_ms;
	if (daemon->state == DAEMON_READY) /* not before the hello is known to be heard */
		send_beat(daemon, now_ms);
}

void heartbeats_hasten(struct daemon *daemon)
{
	daemon->heartbeat_due_ms = 0;
}

int64_t heartbeats_due_ms(const struct daemon *daemon)
{
	int64_t acked_ms = daemon->view.heartbeat_acked_ms;
	int64_t due_ms = daemon->state == DAEMON_READY ? daemon->heartbeat_due_ms : INT64_MAX;
	if (acked_ms != 0 && !daemon->dead && acked_ms + daemon->config->dead_man_ms < due_ms)
		due_ms = acked_ms + daemon->config->dead_man_ms;
	return due_ms;
}
