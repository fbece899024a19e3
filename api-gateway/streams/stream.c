/* What one stream does with what comes: items that are live, pages of the store, seconds. */
#include <string.h>

#include "api-gateway/callers/caches.h"
#include "api-gateway/config.h"
#include "api-gateway/requests/loop.h"
#include "api-gateway/streams/sse.h"
#include "api-gateway/streams/stream_private.h"
#include "common/base/clock.h"
#include "common/base/log.h"

#define BEAT_MAX (FEED_PLACE_TEXT + 16)
#define RESET_MAX (FEED_PLACE_TEXT + 256)

static struct metric resets_total = {.kind = METRIC_COUNTER,
									 .name = "kiln_gateway_stream_resets_total",
									 .help = "Feeds that were told that what they missed is not kept any more."};

void stream_register_resets(void)
{
	metric_register(&resets_total);
}

static void back_off(struct stream *stream)
{
	stream->retry_ms = clock_boot_ms() + backoff_next(&stream->backoff);
}

/* Where the events tail is. False: it has not begun. */
static bool place_now(const struct stream *stream, struct feed_place *ret)
{
	const struct topic_tail *tail = stream->hub->shared->events;
	for (size_t slot = 0; slot < FEED_SLOTS; slot++) {
		ret->next[slot] = topic_tail_position(tail, slot);
		if (ret->next[slot] < 0)
			return false;
	}
	return true;
}

static int64_t log_goal(const struct stream *stream)
{
	int64_t position = topic_tail_position(stream->hub->shared->logs, (size_t)stream_log_partition(stream->key));
	return position < 0 ? FOLLOW_UNKNOWN : position;
}

/* As much waits for its reader as may: the rest comes out of the store, in pages, as fast as it reads. */
static bool is_behind(const struct stream *stream)
{
	return (stream->writing != WRITING_NOTHING || stream->sock == NULL) &&
		   stream->out.bytes > (size_t)stream->hub->loop->gateway->config->stream_buffer_bytes;
}

static void hand_over(struct stream *stream, struct stream_item *item)
{
	struct follow *follow = &stream->follow;
	if (stream_is_feed(follow->kind) && memcmp(&follow->place, &item->place, sizeof(item->place)) != 0) {
		/* It has read further elsewhere, and its ids say so. */
		struct stream_item *own = stream_item_at(item, &follow->place);
		item_queue_push(&stream->out, own);
		stream_item_unref(own);
	} else {
		item_queue_push(&stream->out, item);
	}
	if (follow->kind == STREAM_EVENTS && item->terminal)
		stream->ending = true;
}

/* What was kept while the store was read. */
static void hand_over_kept(struct stream *stream)
{
	struct stream_item *item;
	while (!stream->ending && (item = follow_next(&stream->follow)) != NULL) {
		hand_over(stream, item);
		stream_item_unref(item);
	}
}

static bool is_for(const struct stream *stream, const struct stream_item *item)
{
	switch (stream->follow.kind) {
	case STREAM_EVENTS:
		return item->kind == ITEM_BUILD_EVENT && strcmp(item->key, stream->key) == 0;
	case STREAM_LOGS:
		return item->kind != ITEM_PROJECT_EVENT && strcmp(item->key, stream->key) == 0;
	case STREAM_PROJECT:
		return item->kind == ITEM_PROJECT_EVENT ? stream->sees_projects && strcmp(item->key, stream->key) == 0
												: strcmp(item->project_id, stream->key) == 0;
	case STREAM_ALL:
		return item->kind != ITEM_LOG && api_token_sees_project(stream->token, item->project_name);
	}
	return false;
}

void stream_offer(struct stream *stream, struct stream_item *item)
{
	if (stream->closed || stream->ending || stream->leaving || !is_for(stream, item))
		return;
	if (stream->follow.kind == STREAM_LOGS && item->kind == ITEM_BUILD_EVENT) {
		if (item->terminal)
			stream_missed(stream); /* the rest of the log comes from the store, up to where it ends */
		return;
	}
	if (is_behind(stream))
		follow_fall_behind(&stream->follow);
	enum follow_verdict verdict = follow_offer(&stream->follow, item);
	if (verdict == FOLLOW_SEND)
		hand_over(stream, item);
	if (verdict == FOLLOW_SEND || verdict == FOLLOW_READ)
		stream_go_on(stream);
}

static bool is_idle(const struct stream *stream)
{
	return stream->writing == WRITING_NOTHING && stream->note.len == 0 && stream->page.len == 0 && stream->out.len == 0;
}

/* A feed that does not know yet where it is, because the tail has not begun, waits for stream_missed. */
static bool can_read(const struct stream *stream)
{
	const struct follow *follow = &stream->follow;
	return !follow->live && !stream->reading && list_empty(&stream->wait_node) &&
		   (!stream_is_feed(follow->kind) || stream->placed);
}

static void say_place(struct stream *stream)
{
	char id[FEED_PLACE_TEXT];
	feed_place_text(&stream->follow.place, id);
	buffer_init(&stream->note, BEAT_MAX);
	(void)buffer_append_str(&stream->note, ":\n"); /* there is room, here and below */
	sse_id(&stream->note, id);
	(void)buffer_append_char(&stream->note, '\n');
}

void stream_go_on(struct stream *stream)
{
	if (stream->closed || stream->writing != WRITING_NOTHING || stream->leaving)
		return;
	if (stream->place_unsaid && is_idle(stream))
		say_place(stream);
	stream->place_unsaid = false; /* events that wait say it too, and must not come behind it */
	if (stream->sock != NULL && stream_write(stream))
		return;
	if (stream->sock != NULL && stream->ending) {
		stream_close(stream, END_COMPLETE);
		return;
	}
	if (is_idle(stream) && !stream->ending && can_read(stream))
		stream_hub_wait(stream->hub, stream);
}

/* The feed is at this place, and everything from there on comes live. */
static void begin_at(struct stream *stream, const struct feed_place *place)
{
	follow_restart(&stream->follow, 0, place);
	stream->follow.place = *place;
	(void)follow_read_begins(&stream->follow); /* there is nothing to read */
	follow_read_ends(&stream->follow, 0, place, false, 0);
	CHECK(follow_goes_live(&stream->follow));
	list_remove(&stream->wait_node);
}

/* `event: reset`: what came between is not kept any more. */
static void reset(struct stream *stream)
{
	static const char data[] =
		"{\"detail\":\"What came after the last id is not kept any more. This stream goes on "
		"from now; read the trails of the builds that matter.\"}";
	struct feed_place now;
	if (!place_now(stream, &now)) {
		back_off(stream);
		return;
	}
	begin_at(stream, &now);
	char id[FEED_PLACE_TEXT];
	feed_place_text(&now, id);
	buffer_init(&stream->page, RESET_MAX + sizeof(data));
	sse_event(&stream->page, id, "reset", data, sizeof(data) - 1);
	metric_add(&resets_total, 1);
}

/* A place that a client gave, or that was left behind, is read from in any case: reading shows whether it still is one.
 */
static void place_feed(struct stream *stream)
{
	struct feed_place now;
	struct follow *follow = &stream->follow;
	stream->placed = place_now(stream, &now);
	if (!stream->placed || follow->place.next[0] >= 0) {
		follow_restart(follow, 0, stream->placed ? &now : NULL);
		return;
	}
	begin_at(stream, &now);
	stream->place_unsaid = true; /* who is cut before the first event can go on from here */
}

void stream_missed(struct stream *stream)
{
	if (stream->closed || stream->ending || stream->leaving)
		return;
	backoff_clear(&stream->backoff);
	stream->retry_ms = 0;
	if (stream_is_feed(stream->follow.kind))
		place_feed(stream);
	else
		follow_restart(&stream->follow, stream->follow.kind == STREAM_LOGS ? log_goal(stream) : 0, NULL);
	stream_go_on(stream);
}

void stream_follow(struct stream *stream, const struct stream_plan *plan)
{
	stream->follow.sent = plan->after;
	if (plan->has_place)
		stream->follow.place = plan->place;
	stream_missed(stream);
}

static void take_page(struct stream *stream, struct stream_read *read)
{
	struct follow *follow = &stream->follow;
	stream->page = read->bytes;
	buffer_init(&read->bytes, 1);
	if (read->log_end >= 0)
		stream->log_end = read->log_end;
	bool is_feed = stream_is_feed(follow->kind);
	follow_read_ends(follow, read->last, is_feed ? &read->reached : NULL, read->more, read->covered);
	stream->ending = read->complete;
	if (read->complete || read->more) {
		backoff_clear(&stream->backoff);
		return;
	}
	bool store_is_behind = follow->kind == STREAM_LOGS && read->build_ended; /* behind the log's end: not complete */
	if (!store_is_behind && follow_goes_live(follow))
		hand_over_kept(stream);
	else
		back_off(stream);
}

void stream_read_done(struct stream *stream, struct stream_read *read)
{
	stream->retry_ms = 0;
	if (stream->leaving)
		return;
	if (read == NULL)
		back_off(stream);
	else if (read->reset)
		reset(stream);
	else
		take_page(stream, read);
	stream_go_on(stream);
}

static void beat(struct stream *stream, int64_t now_ms)
{
	stream->beat_ms = now_ms;
	if (stream->sock == NULL || !is_idle(stream))
		return; /* it is not quiet */
	if (stream_is_feed(stream->follow.kind) && stream->follow.live) {
		say_place(stream);
	} else {
		buffer_init(&stream->note, BEAT_MAX);
		(void)buffer_append_str(&stream->note, ":\n\n"); /* there is room */
	}
	stream_go_on(stream);
}

void stream_sweep(struct stream *stream, int64_t now_ms)
{
	const struct gateway_config *config = stream->hub->loop->gateway->config;
	if (!caches_token_works(stream->hub->loop->gateway->caches, stream->token))
		stream_close(stream, END_REVOKED);
	else if (stream->writing != WRITING_NOTHING && now_ms - stream->write_ms > config->stream_stall_ms)
		stream_close(stream, END_SLOW);
	else if (now_ms - stream->beat_ms >= config->stream_heartbeat_ms && !stream->leaving)
		beat(stream, now_ms);
}
