#include "api-gateway/callers/shared_map.h"

#include <pthread.h>

#include "common/base/alloc.h"
#include "common/base/map.h"
#include "common/base/mutex.h"
#include "common/base/siphash.h"

#define SHARDS 16

struct shard {
	pthread_mutex_t lock;
	struct map *map;
	size_t bytes;
} __attribute__((aligned(64))); /* a cache line each: neighbours do not contend */

struct shared_map {
	size_t shard_max, shard_max_bytes;
	_Atomic uint64_t sweep;
	struct shard shards[SHARDS];
};

void shared_init(struct shared *object, void (*free_object)(struct shared *self))
{
	atomic_init(&object->refs, 1);
	atomic_init(&object->seen, 0);
	object->bytes = 0;
	object->free = free_object;
}

void shared_ref(struct shared *object)
{
	(void)atomic_fetch_add_explicit(&object->refs, 1, memory_order_relaxed); /* the old count is of no interest */
}

void shared_unref(struct shared *object)
{
	if (object != NULL && atomic_fetch_sub_explicit(&object->refs, 1, memory_order_acq_rel) == 1)
		object->free(object);
}

static void drop(void *value)
{
	shared_unref(value);
}

struct shared_map *shared_map_new(size_t max, size_t max_bytes)
{
	struct shared_map *map = aligned_alloc(64, (sizeof(*map) + 63) / 64 * 64);
	CHECK(map != NULL);
	map->shard_max = max / SHARDS + 1;
	map->shard_max_bytes = max_bytes / SHARDS + 1;
	atomic_init(&map->sweep, 0);
	for (size_t i = 0; i < SHARDS; i++) {
		mutex_init(&map->shards[i].lock);
		map->shards[i].map = map_new(map->shard_max, drop);
		map->shards[i].bytes = 0;
	}
	return map;
}

void shared_map_free(struct shared_map *map)
{
	if (map == NULL)
		return;
	for (size_t i = 0; i < SHARDS; i++) {
		map_free(map->shards[i].map);
		(void)pthread_mutex_destroy(&map->shards[i].lock); /* nobody holds it any more */
	}
	free(map);
}

static struct shard *lock_shard(struct shared_map *map, const void *key, size_t key_len)
{
	struct shard *shard = &map->shards[siphash(key, key_len) >> 60];
	mutex_lock(&shard->lock);
	return shard;
}

struct shared *shared_map_get(struct shared_map *map, const void *key, size_t key_len)
{
	struct shard *shard = lock_shard(map, key, key_len);
	struct shared *object = map_get(shard->map, key, key_len);
	if (object != NULL)
		shared_ref(object);
	mutex_unlock(&shard->lock);
	return object;
}

static void take_out(struct shard *shard, const void *key, size_t key_len, const struct shared *object)
{
	shard->bytes -= object->bytes;
	(void)map_remove(shard->map, key, key_len); /* it is there */
}

static bool has_room(const struct shared_map *map, const struct shard *shard, size_t bytes)
{
	return map_len(shard->map) < map->shard_max && shard->bytes + bytes <= map->shard_max_bytes;
}

static void make_room(const struct shared_map *map, struct shard *shard, size_t bytes)
{
	struct map_iter it = {0};
	while (!has_room(map, shard, bytes) && map_next(shard->map, &it))
		take_out(shard, it.key, it.key_len, it.value);
}

void shared_map_put(struct shared_map *map, const void *key, size_t key_len, struct shared *object)
{
	shared_ref(object);
	struct shard *shard = lock_shard(map, key, key_len);
	shared_map_sweep_keep(map, object);
	const struct shared *old = map_get(shard->map, key, key_len);
	if (old != object) {
		if (old != NULL)
			take_out(shard, key, key_len, old);
		make_room(map, shard, object->bytes);
		shard->bytes += object->bytes;
		CHECK(map_set(shard->map, key, key_len, object) == 0);
	}
	mutex_unlock(&shard->lock);
	if (old == object)
		shared_unref(object); /* the map has one already */
}

void shared_map_remove(struct shared_map *map, const void *key, size_t key_len)
{
	struct shard *shard = lock_shard(map, key, key_len);
	const struct shared *object = map_get(shard->map, key, key_len);
	if (object != NULL)
		take_out(shard, key, key_len, object);
	mutex_unlock(&shard->lock);
}

size_t shared_map_len(struct shared_map *map)
{
	size_t len = 0;
	for (size_t i = 0; i < SHARDS; i++) {
		mutex_lock(&map->shards[i].lock);
		len += map_len(map->shards[i].map);
		mutex_unlock(&map->shards[i].lock);
	}
	return len;
}

size_t shared_map_bytes(struct shared_map *map)
{
	size_t bytes = 0;
	for (size_t i = 0; i < SHARDS; i++) {
		mutex_lock(&map->shards[i].lock);
		bytes += map->shards[i].bytes;
		mutex_unlock(&map->shards[i].lock);
	}
	return bytes;
}

void shared_map_sweep_begin(struct shared_map *map)
{
	(void)atomic_fetch_add(&map->sweep, 1); /* the number itself is of no interest */
}

void shared_map_sweep_keep(struct shared_map *map, struct shared *object)
{
	atomic_store(&object->seen, atomic_load(&map->sweep));
}

void shared_map_sweep_end(struct shared_map *map)
{
	uint64_t sweep = atomic_load(&map->sweep);
	for (size_t i = 0; i < SHARDS; i++) {
		struct shard *shard = &map->shards[i];
		mutex_lock(&shard->lock);
		for (struct map_iter it = {0}; map_next(shard->map, &it);) {
			struct shared *object = it.value;
			if (atomic_load(&object->seen) < sweep)
				take_out(shard, it.key, it.key_len, object);
		}
		mutex_unlock(&shard->lock);
	}
}
