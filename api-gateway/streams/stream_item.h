/*
 * A record of the event or log topics as streams send it: made once by the tail that read it, shared by all subscribers
 * of all loops, immutable. Counted atomically: any thread may take and drop references.
 */
#pragma once

#include <librdkafka/rdkafka.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "api-gateway/streams/feed_place.h"
#include "common/base/buffer.h"
#include "common/base/compiler.h"
#include "common/base/error.h"
#include "common/base/ids.h"

enum stream_item_kind { ITEM_BUILD_EVENT, ITEM_PROJECT_EVENT, ITEM_LOG };

#define ITEM_ID_MAX 32

struct stream_item {
	_Atomic int refs;
	enum stream_item_kind kind;
	bool terminal; /* the build has ended */
	size_t slot;   /* of the tail that read it */
	int64_t offset;
	int64_t first, last;      /* sequences: of an event both are its own, of a log record those of its lines */
	char key[UUID_TEXT_SIZE]; /* the build's id, the project's */
	/* For feeds; "" when the record was not looked into for them. */
	char project_id[UUID_TEXT_SIZE];
	char project_name[64];
	struct feed_place place; /* of the tail after this record */
	/* What is sent: `own_id` to the build's streams, or `feed_id` to feeds, and the body. A log record's body is whole
	 * events with their ids; own_id is "". */
	char own_id[ITEM_ID_MAX];
	struct buffer feed_id, body;
};

/* An event. The caller's reference; NULL for a record that no stream can use (not a CloudEvent, no sequence, data that
 * is not of that key and sequence). With `for_feeds` the project and feed_id are filled in. */
struct stream_item *stream_item_event(const rd_kafka_message_t *message, size_t slot, bool of_project,
									  const struct feed_place *place, bool for_feeds);
/* A build.log record. */
struct stream_item *stream_item_log(const rd_kafka_message_t *message, size_t slot);
/* The same event with another place in its feed_id. The caller's reference. */
struct stream_item *stream_item_at(const struct stream_item *item, const struct feed_place *place);
void stream_item_ref(struct stream_item *item);
void stream_item_unref(struct stream_item *item); /* takes NULL */
/* About what it takes of memory. */
size_t stream_item_bytes(const struct stream_item *item);

/* References in the order of their arrival. Zeroed is empty. */
struct item_queue {
	struct stream_item **items;
	size_t len, size;
	size_t bytes;
};
void item_queue_push(struct item_queue *queue, struct stream_item *item); /* takes a reference of its own */
/* Drops the first `count`; the memory goes with the last one. */
void item_queue_drop(struct item_queue *queue, size_t count);
void item_queue_clear(struct item_queue *queue);
