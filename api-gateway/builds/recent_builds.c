#include "api-gateway/builds/recent_builds.h"

#include <pthread.h>
#include <time.h>

#include "common/base/alloc.h"
#include "common/base/clock.h"
#include "common/base/cond.h"
#include "common/base/list.h"
#include "common/base/metrics.h"
#include "common/base/mutex.h"

#define ENTRY_OVERHEAD 144   /* of an entry besides its value: its bucket's and the allocator's share too */
#define BYTES_PER_BUCKET 512 /* few builds are smaller: chains stay short */

struct entry {
	struct list_node node; /* oldest first */
	struct entry *next;    /* in its bucket */
	char id[UUID_TEXT_SIZE];
	int32_t partition;
	int64_t offset;
	bool shown;
	size_t len;
	char value[];
};

struct reach {
	int64_t floor, position; /* position -1: not begun */
	int64_t passed;          /* from here on to the position: only barriers */
	int64_t applied;         /* -1: not known */
};

struct recent_builds {
	pthread_mutex_t lock;
	pthread_cond_t moved; /* some position */
	size_t waiters;
	struct entry **buckets; /* by the id's last part, which is random in every version that we make */
	size_t buckets_mask;
	struct list_node oldest;
	size_t bytes, max_bytes;
	size_t partitions;
	struct reach *reach;
};

static struct metric kept = {
	.kind = METRIC_GAUGE, .name = "kiln_gateway_recent_builds", .help = "Builds kept from the request topic."};

static void register_metrics(void)
{
	metric_register(&kept);
}

struct recent_builds *recent_builds_new(size_t partitions, size_t max_bytes)
{
	static pthread_once_t once = PTHREAD_ONCE_INIT;
	CHECK(pthread_once(&once, register_metrics) == 0);
	struct recent_builds *recent = xcalloc(1, sizeof(*recent));
	mutex_init(&recent->lock);
	cond_init(&recent->moved);
	size_t buckets = 64;
	while (buckets < max_bytes / BYTES_PER_BUCKET)
		buckets *= 2;
	recent->buckets = xcalloc(buckets, sizeof(struct entry *));
	recent->buckets_mask = buckets - 1;
	list_init(&recent->oldest);
	recent->max_bytes = max_bytes;
	recent->partitions = partitions;
	recent->reach = xcalloc(partitions, sizeof(*recent->reach));
	for (size_t i = 0; i < partitions; i++)
		recent->reach[i].position = recent->reach[i].applied = -1;
	return recent;
}

static struct entry **bucket_of(struct recent_builds *recent, const char *id)
{
	uint64_t digits; /* eight of the last twelve, as text */
	memcpy(&digits, id + UUID_TEXT_SIZE - 1 - sizeof(digits), sizeof(digits));
	return &recent->buckets[(digits * UINT64_C(0x9E3779B97F4A7C15)) >> 32 & recent->buckets_mask];
}

static struct entry *find(struct recent_builds *recent, const char *id)
{
	struct entry *entry = *bucket_of(recent, id);
	while (entry != NULL && memcmp(entry->id, id, UUID_TEXT_SIZE - 1) != 0)
		entry = entry->next;
	return entry;
}

/* One that is out of the list. */
static void forget(struct recent_builds *recent, struct entry *entry)
{
	recent->bytes -= entry->len + ENTRY_OVERHEAD;
	struct entry **link = bucket_of(recent, entry->id);
	while (*link != entry)
		link = &(*link)->next;
	*link = entry->next;
	free(entry);
	metric_add(&kept, -1);
}

static void drop_oldest(struct recent_builds *recent)
{
	struct list_node *node = list_pop(&recent->oldest);
	CHECK(node != NULL);
	struct entry *entry = LIST_ITEM(node, struct entry, node);
	struct reach *reach = &recent->reach[entry->partition];
	if (reach->floor <= entry->offset)
		reach->floor = entry->offset + 1;
	forget(recent, entry);
}

void recent_builds_free(struct recent_builds *recent)
{
	if (recent == NULL)
		return;
	while (!list_empty(&recent->oldest))
		drop_oldest(recent);
	free(recent->buckets);
	free(recent->reach);
	(void)pthread_cond_destroy(&recent->moved); /* nobody waits any more */
	(void)pthread_mutex_destroy(&recent->lock); /* nobody holds it */
	free(recent);
}

/* The log became shorter: what was read at or beyond its end is not there any more. */
static void drop_from(struct recent_builds *recent, int32_t partition, int64_t offset)
{
	LIST_FOR_EACH (node, &recent->oldest) {
		struct entry *entry = LIST_ITEM(node, struct entry, node);
		if (entry->partition != partition || entry->offset < offset)
			continue;
		list_remove(node);
		forget(recent, entry);
	}
}

void recent_builds_start(struct recent_builds *recent, int32_t partition, int64_t offset)
{
	CHECK(partition >= 0 && (size_t)partition < recent->partitions);
	mutex_lock(&recent->lock);
	struct reach *reach = &recent->reach[partition];
	if (reach->position > offset)
		drop_from(recent, partition, offset);
	/* Going on where it was keeps what it knows. */
	if (reach->position != offset) {
		reach->floor = offset;
		reach->position = offset;
		reach->passed = offset;
	}
	mutex_unlock(&recent->lock);
}

static void insert(struct recent_builds *recent, int32_t partition, int64_t offset, const char *id, const void *value,
				   size_t len)
{
	size_t bytes = len + ENTRY_OVERHEAD;
	struct entry **bucket = bucket_of(recent, id);
	if (find(recent, id) != NULL)
		return;
	if (bytes > recent->max_bytes / 4) {
		recent->reach[partition].floor = offset + 1; /* too large to keep: nothing is known before it any more */
		return;
	}
	while (recent->bytes + bytes > recent->max_bytes)
		drop_oldest(recent);
	struct entry *entry = xmalloc(sizeof(*entry) + len);
	entry->partition = partition;
	entry->offset = offset;
	entry->shown = false;
	entry->len = len;
	memcpy(entry->id, id, UUID_TEXT_SIZE - 1);
	entry->id[UUID_TEXT_SIZE - 1] = '\0';
	memcpy(entry->value, value, len);
	entry->next = *bucket;
	*bucket = entry;
	list_append(&recent->oldest, &entry->node);
	recent->bytes += bytes;
	metric_add(&kept, 1);
}

static void advance(struct recent_builds *recent, int32_t partition, int64_t position)
{
	recent->reach[partition].position = position;
	if (recent->waiters > 0)
		CHECK(pthread_cond_broadcast(&recent->moved) == 0);
}

void recent_builds_add(struct recent_builds *recent, int32_t partition, int64_t offset, const char *id,
					   const void *value, size_t value_len)
{
	CHECK(partition >= 0 && (size_t)partition < recent->partitions);
	mutex_lock(&recent->lock);
	if (id != NULL)
		insert(recent, partition, offset, id, value, value_len);
	recent->reach[partition].passed = offset + 1;
	advance(recent, partition, offset + 1);
	mutex_unlock(&recent->lock);
}

void recent_builds_pass(struct recent_builds *recent, int32_t partition, int64_t offset)
{
	CHECK(partition >= 0 && (size_t)partition < recent->partitions);
	mutex_lock(&recent->lock);
	advance(recent, partition, offset + 1);
	mutex_unlock(&recent->lock);
}

bool recent_builds_find(struct recent_builds *recent, const char *id, struct buffer *ret,
						struct recent_sight *ret_sight)
{
	mutex_lock(&recent->lock);
	const struct entry *entry = find(recent, id);
	bool found = entry != NULL && buffer_append(ret, entry->value, entry->len) == 0;
	if (found)
		*ret_sight = (struct recent_sight){
			.offset = entry->offset,
			.past = entry->shown || entry->offset < recent->reach[entry->partition].applied,
		};
	mutex_unlock(&recent->lock);
	return found;
}

void recent_builds_mark_shown(struct recent_builds *recent, const char *id)
{
	mutex_lock(&recent->lock);
	struct entry *entry = find(recent, id);
	if (entry != NULL)
		entry->shown = true;
	mutex_unlock(&recent->lock);
}

void recent_builds_applied(struct recent_builds *recent, int32_t partition, int64_t offset)
{
	if (partition < 0 || (size_t)partition >= recent->partitions)
		return;
	mutex_lock(&recent->lock);
	struct reach *reach = &recent->reach[partition];
	if (reach->applied < offset)
		reach->applied = offset;
	mutex_unlock(&recent->lock);
}

int64_t recent_builds_applied_until(struct recent_builds *recent, int32_t partition)
{
	CHECK(partition >= 0 && (size_t)partition < recent->partitions);
	mutex_lock(&recent->lock);
	int64_t applied = recent->reach[partition].applied;
	mutex_unlock(&recent->lock);
	return applied;
}

bool recent_builds_wait(struct recent_builds *recent, int32_t partition, int64_t offset, int64_t deadline_ms)
{
	struct timespec until = cond_deadline(clock_left_ms(deadline_ms));
	mutex_lock(&recent->lock);
	recent->waiters++;
	while (recent->reach[partition].position < offset && cond_wait_until(&recent->moved, &recent->lock, &until))
		;
	recent->waiters--;
	bool reached = recent->reach[partition].position >= offset;
	mutex_unlock(&recent->lock);
	return reached;
}

int64_t recent_builds_end(struct recent_builds *recent, int32_t partition, int64_t end)
{
	mutex_lock(&recent->lock);
	const struct reach *reach = &recent->reach[partition];
	if (reach->position >= end && reach->passed < end)
		end = reach->passed;
	mutex_unlock(&recent->lock);
	return end;
}

bool recent_builds_cover(struct recent_builds *recent, int32_t partition, int64_t from, int64_t to)
{
	mutex_lock(&recent->lock);
	const struct reach *reach = &recent->reach[partition];
	bool covered = from >= to || (reach->position >= to && reach->floor <= from);
	mutex_unlock(&recent->lock);
	return covered;
}
