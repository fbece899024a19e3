/* A row of the outbox as the Kafka message that it becomes. */
#include <string.h>

#include "common/base/str.h"
#include "common/json/json.h"
#include "common/kafka/topics.h"
#include "common/pg/outbox_private.h"

/* Headers are numbered in these topics only (docs/events.md). */
static bool is_numbered(const char *topic)
{
	return strcmp(topic, TOPIC_BUILD_EVENTS) == 0 || strcmp(topic, TOPIC_CI_EVENTS) == 0 ||
		   strcmp(topic, TOPIC_PROJECT_EVENTS) == 0;
}

void outbox_message_init(struct outbox_message *message)
{
	memset(message, 0, sizeof(*message));
	buffer_init(&message->key, KAFKA_MAX_MESSAGE_BYTES);
	buffer_init(&message->body, KAFKA_MAX_MESSAGE_BYTES);
}

static void drop_headers(struct outbox_message *message)
{
	if (message->headers != NULL)
		rd_kafka_headers_destroy(message->headers);
	message->headers = NULL;
}

void outbox_message_release(struct outbox_message *message)
{
	drop_headers(message);
	buffer_release(&message->key);
	buffer_release(&message->body);
}

/* {"key": base64 or null, "headers": [[name, base64 or null], …]}: bytes as they were, whatever they were. The value is
 * the body, unless "value_is_null" is true. */
static int read_record(struct outbox_message *message, const char *json, struct error *err)
{
	CLEANUP(cJSON_Delete_p) cJSON *tree = NULL;
	if (json_parse(json, strlen(json), &tree, err) < 0)
		return -1;
	const char *key = json_get_string(tree, "key");
	buffer_clear(&message->key);
	if (key != NULL && base64_decode(&message->key, key, strlen(key), err) < 0)
		return -1;
	message->message.key = key == NULL ? NULL : message->key.data;
	message->message.key_len = message->key.len;
	if (key != NULL && message->key.len == 0)
		message->message.key = ""; /* present and empty */

	message->headers = rd_kafka_headers_new(16);
	CHECK(message->headers != NULL);
	const cJSON *pair;
	cJSON_ArrayForEach(pair, json_get(tree, "headers"))
	{
		const cJSON *name = cJSON_GetArrayItem(pair, 0);
		const cJSON *value = cJSON_GetArrayItem(pair, 1);
		if (!cJSON_IsString(name))
			return error_set(err, ERR_INVALID, "record: a header has no name");
		CLEANUP(buffer_release_p) struct buffer bytes;
		buffer_init(&bytes, KAFKA_MAX_MESSAGE_BYTES);
		if (cJSON_IsString(value) && base64_decode(&bytes, value->valuestring, strlen(value->valuestring), err) < 0)
			return -1;
		const char *data = !cJSON_IsString(value) ? NULL : bytes.data;
		CHECK(rd_kafka_header_add(message->headers, name->valuestring, -1, data, (ssize_t)bytes.len) ==
			  RD_KAFKA_RESP_ERR_NO_ERROR);
	}
	message->message.headers = message->headers;
	if (json_get_bool(tree, "value_is_null", false)) {
		message->message.data = NULL; /* a tombstone; the empty body would be a value */
		message->message.data_len = 0;
	}
	return 0;
}

int outbox_message_read(struct outbox_message *message, const struct outbox_event *event, struct error *err)
{
	drop_headers(message);
	if (event->text == NULL && event->body == NULL)
		return error_set(err, ERR_INTERNAL, "the trail lacks an event that the outbox names");
	buffer_clear(&message->body);
	if (event->text == NULL && pg_bytes_from_text(event->body, &message->body) < 0)
		return error_set(err, ERR_INVALID, "the body is larger than a message may be");
	message->event = (struct cloudevent){
		.id = event->ce_id,
		.type = event->type,
		.source = event->source,
		.subject = event->key,
		.time = event->time,
		.sequence = is_numbered(event->topic) ? event->sequence : 0,
		.hash = event->hash,
		.traceparent = event->traceparent,
	};
	message->message = (struct kafka_message){
		.topic = event->topic,
		.partition = -1,
		.key = event->key,
		.key_len = strlen(event->key),
		.data = event->text != NULL ? event->text : message->body.data,
		.data_len = event->text != NULL ? event->text_len : message->body.len,
		.event = &message->event,
	};
	return event->record == NULL ? 0 : read_record(message, event->record, err);
}
