/*
 * A bounded map of immutable, reference-counted objects, read by every loop and worker. Sharded by key so that loops
 * rarely meet on a lock; a look-up holds one for the time of a hash probe. When it is full the oldest entry makes room.
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
	void (*free)(struct shared *self);
};

void shared_init(struct shared *object, void (*free_object)(struct shared *self));
void shared_ref(struct shared *object);
void shared_unref(struct shared *object); /* takes NULL */

struct shared_map;

struct shared_map *shared_map_new(size_t max);
void shared_map_free(struct shared_map *map);
/* With a reference for the caller, or NULL. */
struct shared *shared_map_get(struct shared_map *map, const void *key, size_t key_len);
/* Sets or replaces; the map takes a reference of its own. */
void shared_map_put(struct shared_map *map, const void *key, size_t key_len, struct shared *object);
void shared_map_remove(struct shared_map *map, const void *key, size_t key_len);
size_t shared_map_len(struct shared_map *map);
/*
 * Mark and sweep, for a reload of everything: begin, put what there is, then end removes what was not put since begin.
 * One thread does this; others may put meanwhile, and what they put stays.
 */
void shared_map_sweep_begin(struct shared_map *map);
void shared_map_sweep_end(struct shared_map *map);
