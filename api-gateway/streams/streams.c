/* The gateway's part of the streams: what the tails read goes to the loops that want it. */
#include "api-gateway/streams/streams.h"

#include <stdlib.h>
#include <string.h>

#include "api-gateway/builds/build_wait.h"
#include "api-gateway/config.h"
#include "api-gateway/requests/loop.h"
#include "api-gateway/streams/stream_history.h"
#include "api-gateway/streams/stream_private.h"
#include "common/base/alloc.h"
#include "common/base/clock.h"
#include "common/kafka/topics.h"

#define INBOX_BYTES ((size_t)32 * 1024 * 1024) /* of a loop */
#define TELL_MS 1000

static const char *const event_topics[] = {TOPIC_BUILD_EVENTS, TOPIC_PROJECT_EVENTS};
static const char *const log_topics[] = {TOPIC_BUILD_LOGS};

static struct metric begins_total[] = {
	{.kind = METRIC_COUNTER,
	 .name = "kiln_gateway_tail_starts_total",
	 .help = "Times that a tail began to read.",
	 .labels = "tail=\"events\""},
	{.kind = METRIC_COUNTER,
	 .name = "kiln_gateway_tail_starts_total",
	 .help = "Times that a tail began to read.",
	 .labels = "tail=\"logs\""},
};
static struct metric lost_total = {.kind = METRIC_COUNTER,
								   .name = "kiln_gateway_stream_overflows_total",
								   .help =
									   "Times that a loop had too many events to send waiting; its streams read "
									   "them from the store."};

/* An item on its way to a loop. */
struct item_note {
	struct hub_note note;
	struct stream_item *item;
};

/* A place of the events tail on its way to a loop. */
struct place_note {
	struct hub_note note;
	struct feed_place place;
};

static bool wants(const struct stream_hub *hub, enum stream_interest interest, uint16_t bucket)
{
	return atomic_load(&hub->interest[interest][bucket]) > 0;
}

static void offer_all(struct list_node *head, struct stream_item *item, const char *key)
{
	LIST_FOR_EACH (node, head) {
		struct stream *stream = LIST_ITEM(node, struct stream, key_node);
		if (key == NULL || strcmp(stream->key, key) == 0)
			stream_offer(stream, item);
	}
}

static void take_item(struct stream_hub *hub, struct hub_note *note)
{
	struct item_note *one = CONTAINER_OF(note, struct item_note, note);
	struct stream_item *item = one->item;
	(void)atomic_fetch_sub(&hub->inbox_bytes, stream_item_bytes(item)); /* only the sum counts */
	offer_all(&hub->buckets[stream_bucket(item->key)], item, item->key);
	/* A project's own event was offered to its feeds by the line above. */
	if (item->kind == ITEM_BUILD_EVENT && item->project_id[0] != '\0')
		offer_all(&hub->buckets[stream_bucket(item->project_id)], item, item->project_id);
	if (item->kind != ITEM_LOG)
		offer_all(&hub->of_all, item, NULL);
	if (item->kind == ITEM_BUILD_EVENT)
		build_waits_offer(hub->loop->waits, item);
	stream_item_unref(item);
	free(one);
}

static void take_missed(struct stream_hub *hub, struct hub_note *note)
{
	free(note);
	atomic_store(&hub->lost, false); /* before the streams look where the tails are: topic_tail_position */
	LIST_FOR_EACH (node, &hub->all)
		stream_missed(LIST_ITEM(node, struct stream, node));
	build_waits_missed(hub->loop->waits);
}

/* The tail of the logs alone began elsewhere, as it does whenever a first log stream is opened: the others, who may be
 * thousands, have missed nothing. */
static void take_missed_logs(struct stream_hub *hub, struct hub_note *note)
{
	free(note);
	LIST_FOR_EACH (node, &hub->all) {
		struct stream *stream = LIST_ITEM(node, struct stream, node);
		if (stream->follow.kind == STREAM_LOGS)
			stream_missed(stream);
	}
}

static void take_place(struct stream_hub *hub, struct hub_note *note)
{
	struct place_note *one = CONTAINER_OF(note, struct place_note, note);
	LIST_FOR_EACH (node, &hub->all) {
		struct stream *stream = LIST_ITEM(node, struct stream, node);
		if (stream_is_feed(stream->follow.kind) && stream->follow.live)
			feed_place_merge(&stream->follow.place, &one->place);
	}
	free(one);
}

static void post_missed(struct stream_hub *hub, hub_note_fn *on_loop)
{
	struct hub_note *note = xcalloc(1, sizeof(*note));
	note->on_loop = on_loop;
	stream_hub_post(hub, note);
}

static void post_item(struct stream_hub *hub, struct stream_item *item)
{
	if (atomic_load(&hub->lost))
		return;
	size_t bytes = stream_item_bytes(item);
	if (atomic_fetch_add(&hub->inbox_bytes, bytes) + bytes > INBOX_BYTES) {
		(void)atomic_fetch_sub(&hub->inbox_bytes, bytes); /* as if it had never been */
		if (!atomic_exchange(&hub->lost, true)) {
			metric_add(&lost_total, 1);
			post_missed(hub, take_missed);
		}
		return;
	}
	struct item_note *one = xcalloc(1, sizeof(*one));
	one->note.on_loop = take_item;
	one->item = item;
	stream_item_ref(item);
	stream_hub_post(hub, &one->note);
}

/* The places of tails have changed otherwise than by reading on. */
static void begun(struct streams *streams, size_t slots, const int64_t *before, const int64_t *now,
				  hub_note_fn *on_loop)
{
	if (memcmp(before, now, slots * sizeof(*before)) == 0)
		return; /* nothing was missed */
	size_t hubs = atomic_load(&streams->hubs_len);
	for (size_t i = 0; i < hubs; i++) {
		struct stream_hub *hub = atomic_load(&streams->hubs[i]);
		if (hub != NULL)
			post_missed(hub, on_loop);
	}
}

static void events_begun(void *ctx, const int64_t *before, const int64_t *now)
{
	struct streams *streams = ctx;
	memcpy(streams->place.next, now, sizeof(streams->place.next));
	begun(streams, FEED_SLOTS, before, now, take_missed); /* logs too: a build's last event ends its log */
}

static void logs_begun(void *ctx, const int64_t *before, const int64_t *now)
{
	struct streams *streams = ctx;
	begun(streams, topic_tail_slots(streams->logs), before, now, take_missed_logs);
}

/* Which loops want a record, and whether feeds do. Read after the tail's position was set (topic_tail_position). */
static bool somebody_wants(struct streams *streams, enum stream_interest interest, uint16_t bucket, bool *ret_feeds)
{
	bool found = false;
	*ret_feeds = false;
	size_t hubs = atomic_load(&streams->hubs_len);
	for (size_t i = 0; i < hubs; i++) {
		struct stream_hub *hub = atomic_load(&streams->hubs[i]);
		if (hub == NULL)
			continue;
		found = found || wants(hub, interest, bucket);
		*ret_feeds = *ret_feeds || atomic_load(&hub->feeds) > 0;
	}
	return found;
}

static bool hub_wants(const struct stream_hub *hub, const struct stream_item *item, enum stream_interest interest)
{
	if (wants(hub, interest, stream_bucket(item->key)))
		return true;
	return item->kind != ITEM_LOG &&
		   (atomic_load(&hub->feeds_of_all) > 0 ||
			(item->project_id[0] != '\0' && wants(hub, INTEREST_PROJECT, stream_bucket(item->project_id))));
}

static void post_to_all(struct streams *streams, struct stream_item *item, enum stream_interest interest)
{
	size_t hubs = atomic_load(&streams->hubs_len);
	for (size_t i = 0; i < hubs; i++) {
		struct stream_hub *hub = atomic_load(&streams->hubs[i]);
		if (hub != NULL && hub_wants(hub, item, interest))
			post_item(hub, item);
	}
}

/* The key of a record that streams can be about; NULL else. */
static const char *key_of(const rd_kafka_message_t *message, char ret[UUID_TEXT_SIZE])
{
	if (message->key_len != UUID_TEXT_SIZE - 1)
		return NULL;
	memcpy(ret, message->key, UUID_TEXT_SIZE - 1);
	ret[UUID_TEXT_SIZE - 1] = '\0';
	return ret;
}

static void take_event(void *ctx, size_t slot, const rd_kafka_message_t *message)
{
	struct streams *streams = ctx;
	streams->place.next[slot] = message->offset + 1;
	char key[UUID_TEXT_SIZE];
	bool of_project = slot >= topic_tail_first_slot(streams->events, TOPIC_PROJECT_EVENTS), feeds;
	enum stream_interest interest = of_project ? INTEREST_PROJECT : INTEREST_EVENTS;
	if (key_of(message, key) == NULL || (!somebody_wants(streams, interest, stream_bucket(key), &feeds) && !feeds))
		return;
	struct stream_item *item = stream_item_event(message, slot, of_project, &streams->place, feeds);
	if (item == NULL)
		return;
	post_to_all(streams, item, interest);
	stream_item_unref(item);
}

static void take_log(void *ctx, size_t slot, const rd_kafka_message_t *message)
{
	struct streams *streams = ctx;
	char key[UUID_TEXT_SIZE];
	bool feeds;
	if (key_of(message, key) == NULL || !somebody_wants(streams, INTEREST_LOGS, stream_bucket(key), &feeds))
		return;
	struct stream_item *item = stream_item_log(message, slot);
	if (item == NULL)
		return;
	post_to_all(streams, item, INTEREST_LOGS);
	stream_item_unref(item);
}

/* Feeds learn how far everything was read for them, so that their ids do not grow old while nothing of theirs comes. */
static void tell_place(struct streams *streams)
{
	int64_t now_ms = clock_boot_ms();
	if (now_ms - streams->told_ms < TELL_MS || memcmp(&streams->told, &streams->place, sizeof(streams->told)) == 0)
		return;
	streams->told_ms = now_ms;
	streams->told = streams->place;
	size_t hubs = atomic_load(&streams->hubs_len);
	for (size_t i = 0; i < hubs; i++) {
		struct stream_hub *hub = atomic_load(&streams->hubs[i]);
		if (hub == NULL || atomic_load(&hub->feeds) == 0 || atomic_load(&hub->lost))
			continue;
		struct place_note *one = xcalloc(1, sizeof(*one));
		one->note.on_loop = take_place;
		one->place = streams->place;
		stream_hub_post(hub, &one->note);
	}
}

static bool are_there(struct streams *streams, const _Atomic int64_t *open)
{
	return atomic_load(open) > 0 || clock_boot_ms() < atomic_load(&streams->open_until_ms);
}

static bool events_turn(void *ctx)
{
	struct streams *streams = ctx;
	if (!are_there(streams, &streams->open))
		return false;
	tell_place(streams);
	return true;
}

static bool logs_turn(void *ctx)
{
	struct streams *streams = ctx;
	return are_there(streams, &streams->open_logs);
}

static int start_tails(struct streams *streams, const struct kafka_settings *settings, struct error *err)
{
	struct topic_tail_options events = {
		.name = "gateway-events",
		.topics = event_topics,
		.topics_len = ARRAY_LEN(event_topics),
		.settings = *settings,
		.back_ms = -1,
		.begins_total = &begins_total[0],
		.turn = events_turn,
		.began = events_begun,
		.take = take_event,
		.ctx = streams,
	};
	struct topic_tail_options logs = {
		.name = "gateway-logs",
		.topics = log_topics,
		.topics_len = ARRAY_LEN(log_topics),
		.settings = *settings,
		.back_ms = -1,
		.begins_total = &begins_total[1],
		.turn = logs_turn,
		.began = logs_begun,
		.take = take_log,
		.ctx = streams,
	};
	if (topic_tail_start(&events, &streams->events, err) < 0 || topic_tail_start(&logs, &streams->logs, err) < 0)
		return -1;
	CHECK(topic_tail_slots(streams->events) == FEED_SLOTS);
	return 0;
}

int streams_start(struct gateway *gateway, const struct kafka_settings *settings, struct error *err)
{
	const struct gateway_config *config = gateway->config;
	struct streams *streams = xcalloc(1, sizeof(*streams));
	streams->gateway = gateway;
	streams->limits = open_limits_new(config->max_streams, config->max_streams_per_token, config->max_streams);
	streams->wait_limits = open_limits_new(config->max_waits, config->max_waits_per_token, config->max_waits);
	streams->wait_bytes = open_limits_new(config->max_waits * WAIT_BODY_BYTES,
										  config->max_waits_per_token * WAIT_BODY_BYTES, config->max_waits);
	streams->reads_max = config->workers > 1 ? (int)(config->workers / 2) : 1;
	metric_register(&lost_total);
	stream_register_metrics();
	stream_register_resets();
	build_waits_register_metrics();
	gateway->streams = streams;
	/* From here on a failure ends the process: nothing is taken back. */
	if (stream_history_start(settings, &streams->history, err) < 0)
		return -1;
	return start_tails(streams, settings, err);
}

void streams_stop(struct gateway *gateway)
{
	struct streams *streams = gateway->streams;
	if (streams == NULL)
		return;
	topic_tail_stop(streams->events);
	topic_tail_stop(streams->logs);
	stream_history_stop(streams->history);
	open_limits_free(streams->limits);
	open_limits_free(streams->wait_limits);
	open_limits_free(streams->wait_bytes);
	/* What was posted to loops that have ended lies in h2o's queues, as long as the process. */
}
