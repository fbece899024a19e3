/* Inside of the streams: what stream*.c files share. */
#pragma once

#include <h2o.h>
#include <pthread.h>
#include <stdatomic.h>

#include "api-gateway/callers/entities.h"
#include "api-gateway/requests/open_limits.h"
#include "api-gateway/streams/stream_place.h"
#include "api-gateway/streams/stream_read.h"
#include "api-gateway/streams/streams.h"
#include "api-gateway/streams/topic_tail.h"
#include "common/base/backoff.h"
#include "common/base/list.h"

#define STREAM_LOOPS_MAX 256

/* What a loop's streams want to hear of, by the bucket of the key. */
enum stream_interest { INTEREST_EVENTS, INTEREST_LOGS, INTEREST_PROJECT, STREAM_INTERESTS };

struct hub_note;
typedef void hub_note_fn(struct stream_hub *hub, struct hub_note *note); /* takes the note over */

/* What streams catch up from. Each has its own queue, for one may be busy while the other is not. */
enum stream_store { STORE_POSTGRES, STORE_KAFKA, STREAM_STORES };

/* A message to a loop. */
struct hub_note {
	h2o_multithread_message_t message;
	hub_note_fn *on_loop;
};

struct stream_history;

/* The gateway's. */
struct streams {
	struct gateway *gateway;
	struct topic_tail *events, *logs;
	struct stream_history *history;
	struct open_limits *limits, *wait_limits;
	struct open_limits *wait_bytes; /* of the bodies of POSTs that wait (build_wait.c) */
	_Atomic(struct stream_hub *) hubs[STREAM_LOOPS_MAX];
	_Atomic size_t hubs_len;
	_Atomic int64_t open, open_logs; /* streams, and waits for builds */
	_Atomic int64_t open_until_ms;   /* clock_boot_ms: the tails go on that long without one */
	_Atomic int reads;               /* of Postgres, under way, for streams and waits */
	int reads_max;
	struct feed_place place; /* the events tail's thread: after what it has read */
	int64_t told_ms;         /* its thread: when it told the loops `place` last */
	struct feed_place told;
};

/* A loop's. The atomics are looked at by the tails, the rest is the loop's. */
struct stream_hub {
	struct loop *loop;
	struct streams *shared;
	h2o_multithread_receiver_t notes;
	_Atomic uint32_t interest[STREAM_INTERESTS][STREAM_BUCKETS];
	_Atomic uint32_t feeds_of_all, feeds;
	_Atomic bool lost; /* the inbox was full: nothing is posted until the loop has seen it */
	_Atomic size_t inbox_bytes;
	struct list_node buckets[STREAM_BUCKETS]; /* by key */
	struct list_node of_all;                  /* feeds of everything */
	struct list_node all;
	struct list_node ready[STREAM_STORES], later; /* streams that wait to read: now, and when their time has come */
	size_t len;
	bool draining;
	int64_t drained_ms;
	h2o_timeout_t second, soon;
	h2o_timeout_entry_t sweep, retry;
};

struct stream {
	struct stream_hub *hub;
	struct list_node node, key_node, wait_node; /* of hub->all, a bucket, hub->ready or later */
	unsigned refs;                              /* the hub's, h2o's while it opens, a read's */
	h2o_socket_t *sock;                         /* NULL while it opens and when it is closed */
	struct api_token *token;
	char key[UUID_TEXT_SIZE];
	uint16_t bucket;
	bool closed, reading;
	enum { WRITING_NOTHING, WRITING_NOTE, WRITING_PAGE, WRITING_ITEMS } writing;
	bool ending;                 /* close when everything is written */
	bool leaving, farewell_said; /* the drain: a hint is written, then it is closed */
	bool placed;                 /* feeds: the tail has begun */
	bool place_unsaid;           /* feeds: the client was not told where the feed began */
	bool sees_projects;          /* feeds: project.* too */
	size_t writing_items;        /* the first of `out` are being written */
	size_t received;             /* bytes that the client sent, and should not */
	int64_t beat_ms, write_ms, retry_ms;
	struct backoff backoff; /* of reads of the store */
	int64_t log_end;        /* logs of an ended build: the end offset of its partition; -1 not known yet */
	struct follow follow;
	/* To be written, in this order. */
	struct buffer note; /* heartbeats and the like */
	struct buffer page; /* of the store */
	struct item_queue out;
};

enum stream_end { END_CLIENT, END_COMPLETE, END_SLOW, END_REVOKED, END_DRAIN };

/* stream_socket.c, on the loop */
void stream_register_metrics(void); /* once */
/* Begins to write what there is, when nothing is being written. False: there is nothing. */
bool stream_write(struct stream *stream);
void stream_farewell(struct stream *stream); /* the drain */
void stream_close(struct stream *stream, enum stream_end reason);
void stream_unref(struct stream *stream);

/* stream.c, on the loop */
void stream_register_resets(void); /* once */
/* It is subscribed: begins to follow. */
void stream_follow(struct stream *stream, const struct stream_plan *plan);
void stream_offer(struct stream *stream, struct stream_item *item);
/* Goes on with whatever can be done: writing, reading the store, ending. */
void stream_go_on(struct stream *stream);
void stream_missed(struct stream *stream); /* items may have been lost, or a tail has begun elsewhere */
/* NULL: it failed. */
void stream_read_done(struct stream *stream, struct stream_read *read);
/* Once a second: heartbeat, writes that do not end, the token. */
void stream_sweep(struct stream *stream, int64_t now_ms);

/* stream_hub.c: on the loop */
void stream_hub_add(struct stream_hub *hub, struct stream *stream);
void stream_hub_remove(struct stream_hub *hub, struct stream *stream);
/* Wants to read the store, at the stream's retry_ms or later. */
void stream_hub_wait(struct stream_hub *hub, struct stream *stream);
/* Somebody else (build_wait.c) wants the build events of this bucket: one more (1), or one less (-1). */
void stream_hub_want_events(struct stream_hub *hub, uint16_t bucket, int by);
/* Any thread. */
void stream_hub_post(struct stream_hub *hub, struct hub_note *note);
