/*
 * A hash map from byte-string keys to pointers, with a maximum number of entries. Keys are copied, values are the
 * caller's. Not thread-safe. Iteration order is unspecified; removing the current entry while iterating is allowed.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "common/base/compiler.h"

struct map;

/* free_value may be NULL; otherwise it is called for values that are replaced, removed or left at map_free. */
struct map *map_new(size_t max_entries, void (*free_value)(void *value));
void map_free(struct map *map);
DEFINE_CLEANUP(struct map, map_free)

size_t map_len(const struct map *map);
void *map_get(const struct map *map, const void *key, size_t key_len); /* NULL when absent */
/* Sets or replaces. -1 (nothing changed, value still the caller's) when the map is full. value is not NULL. */
int map_set(struct map *map, const void *key, size_t key_len, void *value) MUST_CHECK;
/* Frees the value when there is a free_value. False when absent. */
bool map_remove(struct map *map, const void *key, size_t key_len);
/* Removes without freeing; NULL when absent. */
void *map_take(struct map *map, const void *key, size_t key_len);
void map_clear(struct map *map);

/* for (struct map_iter it = {0}; map_next(map, &it);) use(it.key, it.key_len, it.value); */
struct map_iter {
	size_t position;
	const void *key;
	size_t key_len;
	void *value;
};
bool map_next(const struct map *map, struct map_iter *it);

static inline void *map_get_str(const struct map *map, const char *key)
{
	return map_get(map, key, __builtin_strlen(key));
}
