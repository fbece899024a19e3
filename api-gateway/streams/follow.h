/*
 * The hand-over of one stream from what is stored to what is live, without a hole: a state machine without clock,
 * thread or socket.
 *
 * A stream is subscribed before its first read of the store. While it catches up, live items are kept; once a read that
 * came to the end of the store covers every offset that the stream was not given (`goal`), the kept items that are new
 * go out, and from then on each live item as it comes. An item that does not follow the last one sent makes it catch up
 * again. What does not fit among the kept ones is forgotten: then the goal is behind it, and it comes from the store.
 *
 * "Covers" differs. Events are in Postgres before they are in Kafka: a read covers every item that was heard of before
 * it began. Log lines are in Kafka first: a read covers what the log store had applied. Feeds are read from Kafka
 * itself.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "api-gateway/streams/stream_item.h"

enum stream_kind {
	STREAM_EVENTS,  /* a build's */
	STREAM_LOGS,    /* a build's */
	STREAM_PROJECT, /* the events of a project */
	STREAM_ALL,     /* all events */
};
static inline bool stream_is_feed(enum stream_kind kind)
{
	return kind == STREAM_PROJECT || kind == STREAM_ALL;
}

#define FOLLOW_UNKNOWN INT64_MAX /* a goal that no read reaches */

struct follow {
	enum stream_kind kind;
	bool live;
	bool drained; /* the last read came to the end of the store */
	bool stale;   /* a read is under way whose end is not the end any more */
	int64_t sent; /* the last sequence that was handed out */
	int64_t heard, goal, covered;
	struct feed_place place;     /* feeds: everything before it was handed out */
	struct feed_place feed_goal; /* feeds */
	struct item_queue kept;
	size_t kept_max; /* bytes */
};

enum follow_verdict {
	FOLLOW_DROP, /* a repeat */
	FOLLOW_KEEP, /* kept or forgotten: it comes later */
	FOLLOW_SEND, /* now; the caller sends it */
	FOLLOW_READ, /* a hole, or an end that the client seems to have passed: catching up has begun again */
};

void follow_init(struct follow *follow, enum stream_kind kind, size_t kept_max);
void follow_release(struct follow *follow);

enum follow_verdict follow_offer(struct follow *follow, struct stream_item *item);

/* The reader does not keep up: what comes from now on is kept or forgotten until the store was read again. */
void follow_fall_behind(struct follow *follow);

/* Items may have been missed: what is stored must be read once more, up to `goal` at least (logs; events have none: 0)
 * or `feed_goal` (NULL for others), which is at or behind everything that was offered. */
void follow_restart(struct follow *follow, int64_t goal, const struct feed_place *feed_goal);

/* A read begins. Returns the offset that it will cover (events). */
int64_t follow_read_begins(struct follow *follow);
/* It handed out everything up to `last` (or nothing: the `sent` of before) and, of a feed, up to `place`; `more`: there
 * is more in the store. */
void follow_read_ends(struct follow *follow, int64_t last, const struct feed_place *place, bool more, int64_t covered);

/* True when what was read covers the goal: the stream is live, follow_next gives the kept items that are to be sent. */
bool follow_goes_live(struct follow *follow);
/* With the caller's reference; NULL when there is none, or when a hole shows (then it is not live any more). */
struct stream_item *follow_next(struct follow *follow);
