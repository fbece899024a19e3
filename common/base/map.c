#include "common/base/map.h"

#include <stdint.h>

#include "common/base/alloc.h"
#include "common/base/siphash.h"

/*
 * Entries lie in insertion order in one array; a table of indexes into it, by hash with linear probing, finds them. A
 * removed entry stays as a hole until the next rebuild, so that removing never moves what an iteration has yet to
 * visit.
 */
#define SLOT_EMPTY UINT32_MAX
#define FIRST_ENTRIES 8

struct entry {
	uint64_t hash;
	char *key; /* NULL: a hole */
	size_t key_len;
	void *value;
};

struct map {
	size_t max, len;
	void (*free_value)(void *value);
	struct entry *entries;
	size_t used, size; /* entries with holes; allocated */
	uint32_t *slots;   /* 2 * size of them: never more than half full */
};

struct map *map_new(size_t max_entries, void (*free_value)(void *value))
{
	CHECK(max_entries > 0 && max_entries < UINT32_MAX / 4);
	struct map *map = xcalloc(1, sizeof(*map));
	map->max = max_entries;
	map->free_value = free_value;
	return map;
}

void map_free(struct map *map)
{
	if (map == NULL)
		return;
	map_clear(map);
	free(map->entries);
	free(map->slots);
	free(map);
}

size_t map_len(const struct map *map)
{
	return map->len;
}

static size_t slot_mask(const struct map *map)
{
	return map->size * 2 - 1; /* size is a power of two */
}

static void index_entry(struct map *map, uint32_t position)
{
	size_t slot = map->entries[position].hash & slot_mask(map);
	while (map->slots[slot] != SLOT_EMPTY)
		slot = (slot + 1) & slot_mask(map);
	map->slots[slot] = position;
}

/* Closes the holes, and doubles when the entries themselves need it. */
static void rebuild(struct map *map)
{
	size_t kept = 0;
	for (size_t i = 0; i < map->used; i++) {
		if (map->entries[i].key != NULL)
			map->entries[kept++] = map->entries[i];
	}
	map->used = kept;
	if (map->size == 0 || kept > map->size / 2) {
		map->size = map->size > 0 ? map->size * 2 : FIRST_ENTRIES;
		map->entries = xreallocarray(map->entries, map->size, sizeof(*map->entries));
		map->slots = xreallocarray(map->slots, map->size * 2, sizeof(*map->slots));
	}
	memset(map->slots, 0xFF, map->size * 2 * sizeof(*map->slots)); /* SLOT_EMPTY */
	for (size_t i = 0; i < map->used; i++)
		index_entry(map, (uint32_t)i);
}

static struct entry *find(const struct map *map, uint64_t hash, const void *key, size_t key_len)
{
	if (map->len == 0)
		return NULL;
	for (size_t slot = hash & slot_mask(map); map->slots[slot] != SLOT_EMPTY; slot = (slot + 1) & slot_mask(map)) {
		struct entry *entry = &map->entries[map->slots[slot]];
		if (entry->hash == hash && entry->key != NULL && entry->key_len == key_len &&
			memcmp(entry->key, key, key_len) == 0)
			return entry;
	}
	return NULL;
}

void *map_get(const struct map *map, const void *key, size_t key_len)
{
	const struct entry *entry = find(map, siphash(key, key_len), key, key_len);
	return entry != NULL ? entry->value : NULL;
}

static void drop_value(struct map *map, void *value)
{
	if (map->free_value != NULL)
		map->free_value(value);
}

int map_set(struct map *map, const void *key, size_t key_len, void *value)
{
	CHECK(value != NULL); /* NULL is map_get's "absent" */
	uint64_t hash = siphash(key, key_len);
	struct entry *entry = find(map, hash, key, key_len);
	if (entry != NULL) {
		void *old = entry->value;
		entry->value = value;
		if (old != value)
			drop_value(map, old);
		return 0;
	}
	if (map->len >= map->max)
		return -1;
	if (map->used == map->size)
		rebuild(map);
	char *copy = xmalloc(key_len + 1);
	if (key_len > 0)
		memcpy(copy, key, key_len);
	copy[key_len] = '\0'; /* so that text keys can be read as C strings */
	map->entries[map->used] = (struct entry){.hash = hash, .key = copy, .key_len = key_len, .value = value};
	index_entry(map, (uint32_t)map->used);
	map->used++;
	map->len++;
	return 0;
}

void *map_take(struct map *map, const void *key, size_t key_len)
{
	struct entry *entry = find(map, siphash(key, key_len), key, key_len);
	if (entry == NULL)
		return NULL;
	void *value = entry->value;
	free(entry->key); /* `key` may be this one: not used below */
	entry->key = NULL;
	entry->value = NULL;
	map->len--;
	return value;
}

bool map_remove(struct map *map, const void *key, size_t key_len)
{
	void *value = map_take(map, key, key_len);
	if (value == NULL)
		return false;
	drop_value(map, value);
	return true;
}

void map_clear(struct map *map)
{
	for (size_t i = 0; i < map->used; i++) {
		struct entry *entry = &map->entries[i];
		if (entry->key == NULL)
			continue;
		free(entry->key);
		entry->key = NULL;
		drop_value(map, entry->value);
	}
	map->len = 0;
	map->used = 0;
	if (map->size > 0)
		memset(map->slots, 0xFF, map->size * 2 * sizeof(*map->slots)); /* SLOT_EMPTY */
}

bool map_next(const struct map *map, struct map_iter *it)
{
	while (it->position < map->used) {
		const struct entry *entry = &map->entries[it->position++];
		if (entry->key == NULL)
			continue;
		it->key = entry->key;
		it->key_len = entry->key_len;
		it->value = entry->value;
		return true;
	}
	return false;
}
