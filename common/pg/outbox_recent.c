#include "common/pg/outbox_recent.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/alloc.h"
#include "common/base/clock.h"
#include "common/base/hash.h"
#include "common/base/ids.h"
#include "common/base/list.h"
#include "common/base/map.h"
#include "common/base/mutex.h"

#define KEPT_BYTES ((size_t)8 * 1024 * 1024)
#define KEPT_EVENTS 65536
#define KEPT_MS 2000

struct key {
	char build_id[UUID_TEXT_SIZE - 1];
	int32_t sequence;
};

struct kept {
	struct outbox_recent_event event;
	struct block *block;
	struct key key;
};

/* The events of a transaction: gone when all have been taken and released, or forgotten. */
struct block {
	struct list_node node;
	int64_t since_ms;
	size_t bytes;
	size_t left; /* of its events: not released, not forgotten */
	size_t len;
	struct kept kept[];
};

struct outbox_recent {
	pthread_mutex_t lock;    /* everything below */
	struct map *events;      /* struct kept by struct key: those that nobody has taken */
	struct list_node blocks; /* oldest first */
	size_t bytes;
};

struct outbox_recent *outbox_recent_new(void)
{
	struct outbox_recent *recent = xcalloc(1, sizeof(*recent));
	mutex_init(&recent->lock);
	recent->events = map_new(KEPT_EVENTS, NULL);
	list_init(&recent->blocks);
	return recent;
}

static struct key key_of(const char *build_id, int32_t sequence)
{
	struct key key;
	CHECK(strlen(build_id) == sizeof(key.build_id));
	memset(&key, 0, sizeof(key)); /* it is compared as bytes */
	memcpy(key.build_id, build_id, sizeof(key.build_id));
	key.sequence = sequence;
	return key;
}

/* Under the lock. */
static void drop_one(struct outbox_recent *recent, struct block *block)
{
	if (--block->left > 0)
		return;
	list_remove(&block->node);
	recent->bytes -= block->bytes;
	free(block);
}

/* Under the lock: those that nobody has taken. */
static void forget(struct outbox_recent *recent, struct block *block)
{
	size_t len = block->len;
	block->left++; /* it must stay until all were looked at */
	for (size_t i = 0; i < len; i++) {
		const struct key *key = &block->kept[i].key;
		if (map_get(recent->events, key, sizeof(*key)) != &block->kept[i])
			continue;
		(void)map_remove(recent->events, key, sizeof(*key)); /* is there */
		block->left--;
	}
	block->len = 0;
	drop_one(recent, block);
}

/* Under the lock. A block whose events were all taken is the relay's, who gives them back soon. */
static void forget_old(struct outbox_recent *recent)
{
	int64_t now_ms = clock_boot_ms();
	LIST_FOR_EACH (node, &recent->blocks) {
		struct block *block = LIST_ITEM(node, struct block, node);
		if (recent->bytes <= KEPT_BYTES && now_ms - block->since_ms < KEPT_MS)
			break;
		forget(recent, block);
	}
}

void outbox_recent_free(struct outbox_recent *recent)
{
	LIST_FOR_EACH (node, &recent->blocks)
		forget(recent, LIST_ITEM(node, struct block, node));
	CHECK(list_empty(&recent->blocks)); /* all that were taken have been released */
	map_free(recent->events);
	(void)pthread_mutex_destroy(&recent->lock); /* nobody holds it */
	free(recent);
}

static const void *keep(char **at, const void *from, size_t len)
{
	void *kept = *at;
	memcpy(kept, from, len);
	*at += len;
	return kept;
}

static const char *keep_text(char **at, const char *text)
{
	return text == NULL ? NULL : keep(at, text, strlen(text) + 1);
}

static size_t size_of(const struct outbox_committed *event)
{
	return strlen(event->type) + 1 + (event->traceparent == NULL ? 0 : strlen(event->traceparent) + 1) + SHA256_SIZE +
		   event->body_len + 1;
}

static struct block *make_block(const struct outbox_committed *events, size_t len)
{
	size_t bytes = sizeof(struct block) + len * sizeof(struct kept), room = bytes;
	for (size_t i = 0; i < len; i++)
		bytes += size_of(&events[i]);
	struct block *block = xmalloc(bytes);
	*block = (struct block){.since_ms = clock_boot_ms(), .bytes = bytes, .left = len, .len = len};
	char *at = (char *)block + room;
	for (size_t i = 0; i < len; i++) {
		const struct outbox_committed *event = &events[i];
		struct kept *kept = &block->kept[i];
		kept->block = block;
		kept->key = key_of(event->build_id, event->sequence);
		kept->event.type = keep_text(&at, event->type);
		kept->event.traceparent = keep_text(&at, event->traceparent);
		kept->event.hash = keep(&at, event->hash, SHA256_SIZE);
		kept->event.body = keep(&at, event->body, event->body_len);
		kept->event.body_len = event->body_len;
		*at++ = '\0';
	}
	return block;
}

void outbox_recent_add(struct outbox_recent *recent, const struct outbox_committed *events, size_t len)
{
	if (len == 0)
		return;
	struct block *block = make_block(events, len);
	mutex_lock(&recent->lock);
	list_append(&recent->blocks, &block->node);
	recent->bytes += block->bytes;
	block->left++; /* mine, until all have found their place */
	for (size_t i = 0; i < len; i++) {
		struct kept *kept = &block->kept[i];
		if (map_get(recent->events, &kept->key, sizeof(kept->key)) != NULL ||
			map_set(recent->events, &kept->key, sizeof(kept->key), kept) < 0)
			block->left--; /* too many: it will be read */
	}
	drop_one(recent, block);
	forget_old(recent);
	mutex_unlock(&recent->lock);
}

struct outbox_recent_event *outbox_recent_take(struct outbox_recent *recent, const char *build_id, int32_t sequence)
{
	struct key key = key_of(build_id, sequence);
	mutex_lock(&recent->lock);
	struct kept *kept = map_take(recent->events, &key, sizeof(key));
	if (kept != NULL && clock_boot_ms() - kept->block->since_ms >= KEPT_MS) {
		drop_one(recent, kept->block);
		kept = NULL;
	}
	mutex_unlock(&recent->lock);
	return kept == NULL ? NULL : &kept->event;
}

void outbox_recent_release(struct outbox_recent *recent, struct outbox_recent_event *event)
{
	struct kept *kept = CONTAINER_OF(event, struct kept, event);
	mutex_lock(&recent->lock);
	drop_one(recent, kept->block);
	mutex_unlock(&recent->lock);
}
