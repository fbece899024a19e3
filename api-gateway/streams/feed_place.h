/*
 * A place in the event topics: for each partition the offset that comes next. What the ids of project and gateway feeds
 * are, opaque to clients: base64url of a version and the offsets. Pure functions.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/base/compiler.h"
#include "common/base/error.h"

#define FEED_SLOTS 24       /* the partitions of kiln.build.events, then those of kiln.project.events */
#define FEED_PLACE_TEXT 384 /* the longest text and its NUL: 24 offsets of 10 bytes */

struct feed_place {
	int64_t next[FEED_SLOTS];
};

void feed_place_text(const struct feed_place *place, char ret[FEED_PLACE_TEXT]);
/* ERR_INVALID for what feed_place_text never made. */
int feed_place_read(const char *text, size_t len, struct feed_place *ret_place, struct error *err) MUST_CHECK;

/* The later of both in each partition. */
void feed_place_merge(struct feed_place *place, const struct feed_place *other);
/* Is it at or behind `other` everywhere? */
bool feed_place_covers(const struct feed_place *place, const struct feed_place *other);
