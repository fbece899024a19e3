#include "build-service/commands.h"

#include <stdlib.h>
#include <string.h>

#include "build-service/fields.h"
#include "build-service/service.h"
#include "common/base/alloc.h"
#include "common/base/log.h"
#include "common/json/json.h"
#include "common/kafka/topics.h"

#define LIST_KEPT 256
#define COMMAND_MAX_BYTES 2048

static const char *const types[] = {"attempt.cancel", "attempt.released", "attempt.abandon", "worker.fenced",
									"worker.drain"};

void build_assignee(const struct build *build, struct fencing_token *ret_token, struct addressee *ret_worker)
{
	build_token(build, ret_token);
	memcpy(ret_worker->worker_id, build->attempt.worker_id, UUID_TEXT_SIZE);
	ret_worker->incarnation = build->attempt.incarnation;
}

void command_list_release(struct command_list *list)
{
	free(list->items);
	*list = (struct command_list){.items = NULL};
}

void command_list_clear(struct command_list *list)
{
	if (list->size > LIST_KEPT)
		command_list_release(list);
	list->len = 0;
}

void command_list_add(struct command_list *list, const struct command *command)
{
	if (list->len == list->size) {
		list->size = list->size == 0 ? 16 : list->size * 2;
		list->items = xreallocarray(list->items, list->size, sizeof(*list->items));
	}
	list->items[list->len++] = *command;
}

static void write_command(struct buffer *buf, const struct command *command)
{
	struct json_writer w;
	json_writer_init(&w, buf);
	json_object_begin(&w, NULL);
	field_write_addressee(&w, &command->to);
	if (command->kind == COMMAND_FENCED)
		json_string(&w, "reason", command->reason);
	else if (command->kind != COMMAND_DRAIN)
		fencing_token_write(&w, &command->token);
	if (command->kind == COMMAND_RELEASED)
		json_bool(&w, "last", command->last);
	json_object_end(&w);
}

static int produce(struct kafka_producer *producer, const char *worker_id, const char *type, const void *body,
				   size_t body_len, const char *traceparent, kafka_delivered *done, void *ctx, struct error *err)
{
	char id[UUID_TEXT_SIZE];
	uuid_v4(id);
	const struct cloudevent event = {
		.id = id, .type = type, .source = SERVICE_SOURCE, .subject = worker_id, .traceparent = traceparent};
	const struct kafka_message message = {
		.topic = TOPIC_BUILD_ASSIGNMENTS,
		.partition = -1,
		.key = worker_id,
		.key_len = strlen(worker_id),
		.data = body,
		.data_len = body_len,
		.event = &event,
	};
	return kafka_produce(producer, &message, done, ctx, err);
}

void commands_send(struct kafka_producer *producer, struct command_list *list)
{
	CLEANUP(buffer_release_p) struct buffer body;
	buffer_init(&body, COMMAND_MAX_BYTES);
	for (size_t i = 0; i < list->len; i++) {
		const struct command *command = &list->items[i];
		struct error err = ERROR_INIT;
		buffer_clear(&body);
		write_command(&body, command);
		CHECK(buffer_ok(&body));
		if (produce(producer, command->to.worker_id, types[command->kind], body.data, body.len, NULL, NULL, NULL,
					&err) < 0)
			log_warn("command not sent, heartbeats will repeat it", "type", types[command->kind], "worker_id",
					 command->to.worker_id, "error", err.message, NULL);
	}
	command_list_clear(list);
}

int commands_send_assign(struct kafka_producer *producer, const char *worker_id, const char *body, size_t body_len,
						 const char *traceparent, kafka_delivered *done, void *ctx, struct error *err)
{
	return produce(producer, worker_id, "attempt.assign", body, body_len, traceparent, done, ctx, err);
}
