/*
 * A map of immutable, reference-counted objects, bounded in number and in bytes, read by every loop and worker. Sharded
 * by key so that loops rarely meet on a lock; a look-up holds one for the time of a hash probe. When it is full the
 * oldest entries make room.
 */
#pragma once

#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

#include "common/base/compiler.h"

/* First member of what is kept. Made with one reference, the maker's. Any thread may take and drop references. */
struct shared {
	_Atomic int refs;
	_Atomic uint64_t seen; /* the sweep that saw it last */
	size_t bytes;          /* that count against a map's limit; its maker's to set, before it is put */
	void (*free)(struct shared *self);
};

void shared_init(struct shared *object, void (*free_object)(struct shared *self));
void shared_ref(struct shared *object);
void shared_unref(struct shared *object); /* takes NULL */

struct shared_map;

/* `max` entries, `max_bytes` of what they hold: of an object as often as it has a key. One that is larger than its
 * shard's part of the bytes is kept there alone. */
struct shared_map *shared_map_new(size_t max, size_t max_bytes);
void shared_map_free(struct shared_map *map);
/* With a reference for the caller, or NULL. */
struct shared *shared_map_get(struct shared_map *map, const void *key, size_t key_len);
/* Sets or replaces; the map takes a reference of its own. */
void shared_map_put(struct shared_map *map, const void *key, size_t key_len, struct shared *object);
void shared_map_remove(struct shared_map *map, const void *key, size_t key_len);
size_t shared_map_len(struct shared_map *map);
size_t shared_map_bytes(struct shared_map *map);
/*
 * Mark and sweep, for a reload of everything: begin, put what there is, then end removes what was not put since begin.
 * One thread does this; others may put meanwhile, and what they put stays.
 */
void shared_map_sweep_begin(struct shared_map *map);
/* As if it were put again under all of its keys. */
void shared_map_sweep_keep(struct shared_map *map, struct shared *object);
void shared_map_sweep_end(struct shared_map *map);
