#include "api-gateway/streams/stream_item.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "api-gateway/streams/log_lines.h"
#include "api-gateway/streams/sse.h"
#include "common/base/alloc.h"
#include "common/base/str.h"
#include "common/json/json.h"
#include "common/kafka/cloudevent.h"
#include "common/kafka/topics.h"
#include "common/model/event_types.h"

#define BODY_MAX ((size_t)KAFKA_MAX_MESSAGE_BYTES * 3) /* escapes and frames of short lines */
#define QUEUE_FIRST 4

struct stream_item *stream_item_at(const struct stream_item *item, const struct feed_place *place)
{
	struct stream_item *copy = xmalloc(sizeof(*copy));
	*copy = *item;
	atomic_init(&copy->refs, 1);
	copy->place = *place;
	buffer_init(&copy->feed_id, FEED_PLACE_TEXT + 8);
	buffer_init(&copy->body, BODY_MAX);
	char text[FEED_PLACE_TEXT];
	feed_place_text(place, text);
	sse_id(&copy->feed_id, text);
	CHECK(buffer_append(&copy->body, item->body.data, item->body.len) == 0 && buffer_ok(&copy->feed_id));
	return copy;
}

void stream_item_ref(struct stream_item *item)
{
	(void)atomic_fetch_add(&item->refs, 1); /* the value is nobody's business */
}

void stream_item_unref(struct stream_item *item)
{
	if (item == NULL || atomic_fetch_sub(&item->refs, 1) > 1)
		return;
	buffer_release(&item->feed_id);
	buffer_release(&item->body);
	free(item);
}

size_t stream_item_bytes(const struct stream_item *item)
{
	return sizeof(*item) + item->feed_id.size + item->body.size;
}

static struct stream_item *item_new(const rd_kafka_message_t *message, enum stream_item_kind kind, size_t slot)
{
	if (message->key_len != UUID_TEXT_SIZE - 1 || !uuid_is_valid(message->key, message->key_len))
		return NULL;
	struct stream_item *item = xcalloc(1, sizeof(*item));
	atomic_init(&item->refs, 1);
	item->kind = kind;
	item->slot = slot;
	item->offset = message->offset;
	memcpy(item->key, message->key, message->key_len);
	buffer_init(&item->feed_id, FEED_PLACE_TEXT + 8);
	buffer_init(&item->body, BODY_MAX);
	return item;
}

/* Does the data tell of what key and headers name? A record that somebody else wrote is shown to nobody: readers take
 * what they get for JSON, and the stream of a build ends with what calls itself its end. */
static bool is_told_by(const struct stream_item *item, const cJSON *data)
{
	bool of_project = item->kind == ITEM_PROJECT_EVENT;
	const char *id = of_project ? json_get_string(json_get(data, "project"), "id") : json_get_string(data, "build_id");
	return id != NULL && str_equal(id, item->key) && json_get_int(data, "sequence", 0) == item->first;
}

/* The project that an event is about, out of its data. */
static void find_project(struct stream_item *item, const cJSON *data)
{
	const char *id = json_get_string(json_get(data, "project"), "id");
	const char *name = json_get_string(json_get(data, "project"), "name");
	if (id != NULL && uuid_is_valid(id, strlen(id)))
		memcpy(item->project_id, id, sizeof(item->project_id));
	if (name != NULL && str_is_name(name, strlen(name)))
		memcpy(item->project_name, name, strlen(name) + 1);
}

struct stream_item *stream_item_event(const rd_kafka_message_t *message, size_t slot, bool of_project,
									  const struct feed_place *place, bool for_feeds)
{
	struct cloudevent_in event;
	struct error err = ERROR_INIT;
	if (cloudevent_read(message, &event, &err) < 0 || event.sequence == 0 || strpbrk(event.type, "\r\n") != NULL)
		return NULL;
	CLEANUP(cJSON_Delete_p) cJSON *data = NULL;
	if (json_parse(message->payload, message->len, &data, &err) < 0)
		return NULL;
	struct stream_item *item = item_new(message, of_project ? ITEM_PROJECT_EVENT : ITEM_BUILD_EVENT, slot);
	if (item == NULL)
		return NULL;
	item->first = item->last = event.sequence;
	if (!is_told_by(item, data)) {
		stream_item_unref(item);
		return NULL;
	}
	item->terminal = !of_project && event_type_ends_build(event.type);
	item->place = *place;
	(void)snprintf(item->own_id, sizeof(item->own_id), "id: %" PRId64 "\n", event.sequence); /* 25 bytes */
	if (for_feeds) {
		char text[FEED_PLACE_TEXT];
		feed_place_text(place, text);
		sse_id(&item->feed_id, text);
		find_project(item, data);
	}
	sse_event(&item->body, NULL, event.type, message->payload, message->len);
	CHECK(buffer_ok(&item->feed_id));
	if (buffer_ok(&item->body))
		return item;
	stream_item_unref(item); /* a record of almost only line ends: not one of ours */
	return NULL;
}

struct stream_item *stream_item_log(const rd_kafka_message_t *message, size_t slot)
{
	CLEANUP(cJSON_Delete_p) cJSON *data = NULL;
	struct error err = ERROR_INIT;
	if (json_parse(message->payload, message->len, &data, &err) < 0)
		return NULL; /* not a log record: the log store puts it among the dead letters */
	struct stream_item *item = item_new(message, ITEM_LOG, slot);
	if (item == NULL)
		return NULL;
	struct log_record record;
	if (log_record_of(data, &record, &err) == 0) {
		item->first = log_sequence(record.attempt, record.first_line);
		item->last = log_lines_sse(&item->body, &record, item->first - 1, SIZE_MAX);
	}
	if (item->last > 0 && buffer_ok(&item->body))
		return item;
	stream_item_unref(item);
	return NULL;
}

void item_queue_push(struct item_queue *queue, struct stream_item *item)
{
	if (queue->len == queue->size) {
		queue->size = queue->size == 0 ? QUEUE_FIRST : queue->size * 2;
		queue->items = xrealloc(queue->items, queue->size * sizeof(struct stream_item *));
	}
	stream_item_ref(item);
	queue->items[queue->len++] = item;
	queue->bytes += stream_item_bytes(item);
}

void item_queue_drop(struct item_queue *queue, size_t count)
{
	CHECK(count <= queue->len);
	for (size_t i = 0; i < count; i++) {
		queue->bytes -= stream_item_bytes(queue->items[i]);
		stream_item_unref(queue->items[i]);
	}
	queue->len -= count;
	if (queue->len > 0) {
		memmove(queue->items, queue->items + count, queue->len * sizeof(struct stream_item *));
		return;
	}
	free(queue->items);
	*queue = (struct item_queue){0};
}

void item_queue_clear(struct item_queue *queue)
{
	item_queue_drop(queue, queue->len);
}
