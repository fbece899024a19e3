#include "api-gateway/streams/stream_history.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "api-gateway/streams/sse.h"
#include "api-gateway/streams/stream_item.h"
#include "common/base/alloc.h"
#include "common/base/clock.h"
#include "common/base/log.h"
#include "common/base/queue.h"
#include "common/base/thread.h"
#include "common/kafka/consumer.h"
#include "common/kafka/topics.h"

#define QUEUE_MAX 1024
#define POP_MS 60000
#define ASK_MS 3000
#define PAGE_MS 1000  /* then others have their turn */
#define STUCK_MS 5000 /* without one record */
#define POLL_MS 100
#define FETCH_MS 10

struct stream_history {
	struct kafka_settings settings;
	struct queue *queue;
	pthread_t thread;
	struct kafka_consumer
		*consumer; /* the thread's; made when it is needed, closed when nobody has asked for a minute */
};

/* The slots of feed_place.h. */
static void number_slots(struct kafka_position positions[FEED_SLOTS])
{
	int32_t builds = topic_find(TOPIC_BUILD_EVENTS)->partitions;
	for (int32_t slot = 0; slot < FEED_SLOTS; slot++)
		positions[slot] = (struct kafka_position){
			.topic = slot < builds ? TOPIC_BUILD_EVENTS : TOPIC_PROJECT_EVENTS,
			.partition = slot < builds ? slot : slot - builds,
		};
}

static size_t slot_of(const rd_kafka_message_t *message)
{
	bool of_build = strcmp(rd_kafka_topic_name(message->rkt), TOPIC_BUILD_EVENTS) == 0;
	int32_t first = of_build ? 0 : topic_find(TOPIC_BUILD_EVENTS)->partitions;
	return (size_t)first + (size_t)message->partition;
}

/* Is `from` a place where reading can begin? What retention took is gone, and a log that ends before it is another. */
static int check_place(struct stream_history *history, const struct stream_read *read, bool *ret_reset,
					   struct error *err)
{
	struct kafka_position positions[FEED_SLOTS];
	int64_t lows[FEED_SLOTS], highs[FEED_SLOTS];
	number_slots(positions);
	if (kafka_watermarks_of(history->consumer, positions, FEED_SLOTS, ASK_MS, lows, highs, err) < 0)
		return -1;
	*ret_reset = false;
	for (size_t slot = 0; slot < FEED_SLOTS; slot++) {
		if (read->from.next[slot] < lows[slot] || read->from.next[slot] > highs[slot])
			*ret_reset = true;
	}
	return 0;
}

static bool is_for(const struct history_work *work, const struct stream_item *item)
{
	const struct stream_read *read = work->read;
	if (item->kind == ITEM_PROJECT_EVENT && !read->sees_projects)
		return false;
	if (read->kind == STREAM_PROJECT)
		return strcmp(item->project_id, read->key) == 0;
	return api_token_sees_project(work->token, item->project_name);
}

static void take(const struct history_work *work, size_t slot, const rd_kafka_message_t *message)
{
	struct stream_read *read = work->read;
	if (message->offset >= read->to.next[slot])
		return; /* it comes live */
	read->reached.next[slot] = message->offset + 1;
	bool of_project = slot >= (size_t)topic_find(TOPIC_BUILD_EVENTS)->partitions;
	struct stream_item *item = stream_item_event(message, slot, of_project, &read->reached, true);
	if (item != NULL && is_for(work, item)) {
		/* buffer_ok is looked at by read_page */
		(void)buffer_append(&read->bytes, item->feed_id.data, item->feed_id.len);
		(void)buffer_append(&read->bytes, item->body.data, item->body.len);
	}
	stream_item_unref(item);
}

static int begin_at(struct stream_history *history, const struct stream_read *read, struct error *err)
{
	struct kafka_position positions[FEED_SLOTS], wanted[FEED_SLOTS];
	size_t count = 0;
	number_slots(positions);
	for (size_t slot = 0; slot < FEED_SLOTS; slot++) {
		if (read->from.next[slot] >= read->to.next[slot])
			continue;
		wanted[count] = positions[slot];
		wanted[count++].offset = read->from.next[slot];
	}
	return kafka_tail_assign(history->consumer, wanted, count, err);
}

static int read_page(struct stream_history *history, const struct history_work *work, struct error *err)
{
	struct stream_read *read = work->read;
	int64_t began_ms = clock_boot_ms(), heard_ms = began_ms;
	if (begin_at(history, read, err) < 0)
		return -1;
	while (!feed_place_covers(&read->reached, &read->to) && read->bytes.len < STREAM_PAGE_BYTES) {
		int64_t now_ms = clock_boot_ms();
		if (now_ms - heard_ms > STUCK_MS)
			return error_set(err, ERR_TIMEOUT, "kafka gives nothing of what was missed");
		if (heard_ms > began_ms && now_ms - began_ms > PAGE_MS)
			break;
		rd_kafka_message_t *message = kafka_consumer_poll(history->consumer, POLL_MS, err);
		if (message == NULL && err->kind != ERR_NONE)
			return -1;
		if (message == NULL)
			continue;
		take(work, slot_of(message), message);
		rd_kafka_message_destroy(message);
		heard_ms = clock_boot_ms() > began_ms ? clock_boot_ms() : began_ms + 1;
	}
	read->more = !feed_place_covers(&read->reached, &read->to);
	return buffer_ok(&read->bytes) ? 0 : error_set(err, ERR_INTERNAL, "an event is too long");
}

static int answer(struct stream_history *history, struct history_work *work, struct error *err)
{
	if (history->consumer == NULL && kafka_tail_new(&history->settings, NULL, 0, &history->consumer, err) < 0)
		return -1;
	work->read->reached = work->read->from;
	if (check_place(history, work->read, &work->read->reset, err) < 0)
		return -1;
	if (work->read->reset)
		return 0;
	int result = read_page(history, work, err);
	/* Nothing more is fetched until the next page. */
	struct error idle_err = ERROR_INIT;
	if (kafka_tail_assign(history->consumer, NULL, 0, &idle_err) < 0)
		log_warn("history", "error", idle_err.message, NULL);
	return result;
}

static void *run(void *arg)
{
	struct stream_history *history = arg;
	while (!queue_closed(history->queue)) {
		struct history_work *work = queue_pop(history->queue, POP_MS);
		if (work == NULL) {
			kafka_consumer_free(history->consumer);
			history->consumer = NULL;
			continue;
		}
		struct error err = ERROR_INIT;
		if (answer(history, work, &err) == 0)
			err.kind = ERR_NONE;
		work->done(work, &err);
	}
	return NULL;
}

int stream_history_start(const struct kafka_settings *settings, struct stream_history **ret_history, struct error *err)
{
	struct stream_history *history = xcalloc(1, sizeof(*history));
	history->settings = *settings;
	/* A fetch that finds nothing more keeps the next page's waiting on the same connection, and feeds that come back
	 * are read one after the other. */
	history->settings.fetch_wait_ms = FETCH_MS;
	history->queue = queue_new(QUEUE_MAX);
	if (thread_start(&history->thread, "gateway-history", 0, run, history, err) < 0) {
		queue_free(history->queue);
		free(history);
		return -1;
	}
	*ret_history = history;
	return 0;
}

void stream_history_stop(struct stream_history *history)
{
	if (history == NULL)
		return;
	queue_close(history->queue);
	thread_join(history->thread);
	kafka_consumer_free(history->consumer);
	queue_free(history->queue);
	free(history);
}

bool stream_history_try(struct stream_history *history, struct history_work *work)
{
	return queue_try_push(history->queue, work);
}
