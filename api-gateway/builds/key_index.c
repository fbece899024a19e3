#include "api-gateway/builds/key_index.h"

#include <pthread.h>
#include <stdatomic.h>
#include <string.h>

#include "common/base/alloc.h"
#include "common/base/compiler.h"
#include "common/base/error.h"
#include "common/base/mutex.h"
#include "common/base/str.h"
#include "common/json/json.h"

struct entry {
	struct list_node node; /* oldest first */
	struct entry *next;    /* in its bucket */
	int64_t offset;
	int32_t partition;
	bool has_hash;
	char id[UUID_TEXT_SIZE];
	uint8_t hash[SHA256_SIZE];
};

struct part {
	_Atomic int64_t position; /* -1: not begun */
	_Atomic int64_t waiting;
	int64_t floor;
	struct list_node waiters;
};

struct key_index {
	pthread_mutex_t lock; /* all but the atomics */
	struct entry **buckets;
	size_t buckets_mask, entries_len, max_entries;
	struct list_node oldest;
	size_t partitions;
	struct part *parts;
};

static struct part *part_of(struct key_index *index, int32_t partition)
{
	CHECK(partition >= 0 && (size_t)partition < index->partitions);
	return &index->parts[partition];
}

struct key_index *key_index_new(size_t partitions, size_t max_entries)
{
	struct key_index *index = xcalloc(1, sizeof(*index));
	CHECK(partitions > 0 && max_entries > 0);
	mutex_init(&index->lock);
	size_t buckets = 64;
	while (buckets < max_entries)
		buckets *= 2;
	index->buckets = xcalloc(buckets, sizeof(struct entry *));
	index->buckets_mask = buckets - 1;
	index->max_entries = max_entries;
	list_init(&index->oldest);
	index->partitions = partitions;
	index->parts = xcalloc(partitions, sizeof(*index->parts));
	for (size_t i = 0; i < partitions; i++) {
		index->parts[i].position = -1;
		list_init(&index->parts[i].waiters);
	}
	return index;
}

/* The id is a keyed hash: any of its digits are as good as random. */
static struct entry **bucket_of(struct key_index *index, const char *id)
{
	uint64_t digits;
	memcpy(&digits, id + UUID_TEXT_SIZE - 1 - sizeof(digits), sizeof(digits));
	return &index->buckets[(digits * UINT64_C(0x9E3779B97F4A7C15)) >> 32 & index->buckets_mask];
}

static struct entry *find(struct key_index *index, const char *id)
{
	struct entry *entry = *bucket_of(index, id);
	while (entry != NULL && memcmp(entry->id, id, UUID_TEXT_SIZE) != 0)
		entry = entry->next;
	return entry;
}

/* One that is out of the list. */
static void forget(struct key_index *index, struct entry *entry)
{
	struct entry **link = bucket_of(index, entry->id);
	while (*link != entry)
		link = &(*link)->next;
	*link = entry->next;
	free(entry);
	index->entries_len--;
}

static void drop_oldest(struct key_index *index)
{
	struct list_node *node = list_pop(&index->oldest);
	CHECK(node != NULL);
	struct entry *entry = LIST_ITEM(node, struct entry, node);
	struct part *part = &index->parts[entry->partition];
	if (part->floor <= entry->offset)
		part->floor = entry->offset + 1;
	forget(index, entry);
}

void key_index_free(struct key_index *index)
{
	if (index == NULL)
		return;
	while (!list_empty(&index->oldest))
		drop_oldest(index);
	free(index->buckets);
	free(index->parts);
	(void)pthread_mutex_destroy(&index->lock); /* nobody holds it */
	free(index);
}

/* The log became shorter: what was read at or beyond its end is not there any more. */
static void drop_from(struct key_index *index, int32_t partition, int64_t offset)
{
	LIST_FOR_EACH (node, &index->oldest) {
		struct entry *entry = LIST_ITEM(node, struct entry, node);
		if (entry->partition != partition || entry->offset < offset)
			continue;
		list_remove(node);
		forget(index, entry);
	}
}

void key_index_start(struct key_index *index, int32_t partition, int64_t offset)
{
	struct part *part = part_of(index, partition);
	mutex_lock(&index->lock);
	/* Going on where it was keeps what it knows. */
	if (atomic_load(&part->position) != offset)
		part->floor = offset;
	if (atomic_load(&part->position) > offset)
		drop_from(index, partition, offset);
	mutex_unlock(&index->lock);
	key_index_advance(index, partition, offset);
}

static bool read_hash(const void *value, size_t len, uint8_t ret[SHA256_SIZE])
{
	CLEANUP(cJSON_Delete_p) cJSON *data = NULL;
	struct error ignored = ERROR_INIT;
	if (json_parse(value, len, &data, &ignored) < 0)
		return false;
	const char *hex = json_get_string(data, "request_hash");
	return hex != NULL && hex_decode(hex, strlen(hex), ret, SHA256_SIZE) == 0;
}

void key_index_add(struct key_index *index, int32_t partition, int64_t offset, const char *id, const void *value,
				   size_t value_len)
{
	struct entry *entry = xcalloc(1, sizeof(*entry));
	(void)part_of(index, partition);
	entry->partition = partition;
	entry->offset = offset;
	entry->has_hash = read_hash(value, value_len, entry->hash);
	memcpy(entry->id, id, UUID_TEXT_SIZE - 1);
	mutex_lock(&index->lock);
	if (find(index, entry->id) == NULL) {
		while (index->entries_len >= index->max_entries)
			drop_oldest(index);
		struct entry **bucket = bucket_of(index, entry->id);
		entry->next = *bucket;
		*bucket = entry;
		list_append(&index->oldest, &entry->node);
		index->entries_len++;
		entry = NULL;
	}
	mutex_unlock(&index->lock);
	free(entry);
}

static void wake(struct key_index *index, struct part *part, int64_t position)
{
	mutex_lock(&index->lock);
	LIST_FOR_EACH (node, &part->waiters) {
		struct key_waiter *waiter = LIST_ITEM(node, struct key_waiter, node);
		if (waiter->offset >= position)
			continue;
		list_remove(&waiter->node);
		atomic_fetch_sub(&part->waiting, 1);
		waiter->passed(waiter);
	}
	mutex_unlock(&index->lock);
}

/* The order of the two atomics here is the reverse of key_index_wait's: one of both sees the other. */
void key_index_advance(struct key_index *index, int32_t partition, int64_t position)
{
	struct part *part = part_of(index, partition);
	atomic_store(&part->position, position);
	if (atomic_load(&part->waiting) > 0)
		wake(index, part, position);
}

bool key_index_wait(struct key_index *index, struct key_waiter *waiter)
{
	struct part *part = part_of(index, waiter->partition);
	mutex_lock(&index->lock);
	atomic_fetch_add(&part->waiting, 1);
	bool passed = atomic_load(&part->position) > waiter->offset;
	if (passed) {
		list_init(&waiter->node);
		atomic_fetch_sub(&part->waiting, 1);
	} else {
		list_append(&part->waiters, &waiter->node);
	}
	mutex_unlock(&index->lock);
	return passed;
}

bool key_index_cancel(struct key_index *index, struct key_waiter *waiter)
{
	struct part *part = part_of(index, waiter->partition);
	mutex_lock(&index->lock);
	bool waits = !list_empty(&waiter->node);
	if (waits) {
		list_remove(&waiter->node);
		atomic_fetch_sub(&part->waiting, 1);
	}
	mutex_unlock(&index->lock);
	return waits;
}

static enum key_verdict compare(bool has_hash, const uint8_t known[SHA256_SIZE], const uint8_t hash[SHA256_SIZE])
{
	return has_hash && memcmp(known, hash, SHA256_SIZE) == 0 ? KEY_SAME : KEY_OTHER;
}

enum key_verdict key_index_judge(struct key_index *index, int32_t partition, const char *id,
								 const uint8_t hash[SHA256_SIZE], const struct key_row *row)
{
	if (row->state == KEY_ROW_FAILED)
		return KEY_UNDECIDED;
	if (row->state == KEY_ROW_THERE)
		return compare(row->has_hash, row->hash, hash);
	const struct part *part = part_of(index, partition);
	mutex_lock(&index->lock);
	const struct entry *entry = find(index, id);
	enum key_verdict verdict = entry == NULL ? KEY_FREE : compare(entry->has_hash, entry->hash, hash);
	/* What lies between the snapshot and the floor may hold an earlier one. A record that was applied made a row. */
	if (row->state == KEY_ROW_ABSENT && (part->floor > row->applied || (entry != NULL && entry->offset < row->applied)))
		verdict = KEY_UNDECIDED;
	mutex_unlock(&index->lock);
	return verdict;
}
