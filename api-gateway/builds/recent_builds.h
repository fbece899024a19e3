/*
 * Builds that this gateway saw in kiln.build.requests: what makes a GET right after a 202 find its build before
 * Postgres has it. Filled by the tail's thread, read by workers; bounded in bytes, the oldest go first.
 *
 * It also knows what it can prove: per partition, every record from `floor` up to `position` was seen, and its build is
 * still here.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/base/buffer.h"
#include "common/base/ids.h"

struct recent_builds;

struct recent_builds *recent_builds_new(size_t partitions, size_t max_bytes);
void recent_builds_free(struct recent_builds *recent);

/* The tail begins (again) at this offset; what was known of the partition before is forgotten, except the builds;
 * when that is back from where it was, the builds from there on too: the log became shorter. */
void recent_builds_start(struct recent_builds *recent, int32_t partition, int64_t offset);
/* The record at `offset` was read; a build.requested has an id and a value, any other record neither. The first record
 * of an id counts. */
void recent_builds_add(struct recent_builds *recent, int32_t partition, int64_t offset, const char *id,
					   const void *value, size_t value_len);

/* The record at `offset` was read, and is a barrier (read_barrier.h). */
void recent_builds_pass(struct recent_builds *recent, int32_t partition, int64_t offset);

struct recent_sight {
	int64_t offset; /* of its record */
	bool past;      /* Postgres has, or had, a row of it: "pending" may be a step back */
};
/* The value of the build's record, appended to `ret`. False: not here. */
bool recent_builds_find(struct recent_builds *recent, const char *id, struct buffer *ret,
						struct recent_sight *ret_sight);
/* Postgres' row was shown. */
void recent_builds_mark_shown(struct recent_builds *recent, const char *id);
/* The build service has applied the partition up to `offset`: what lies below has a row. */
void recent_builds_applied(struct recent_builds *recent, int32_t partition, int64_t offset);
/* How far that is; -1: not known yet. */
int64_t recent_builds_applied_until(struct recent_builds *recent, int32_t partition);

/* Waits until the position of the partition has reached `offset`, or until the deadline (clock_boot_ms). */
bool recent_builds_wait(struct recent_builds *recent, int32_t partition, int64_t offset, int64_t deadline_ms);
/* `end`, or less: from there on to `end` only barriers lie, which nobody applies anything of. `end` when the tail has not
 * read that far. */
int64_t recent_builds_end(struct recent_builds *recent, int32_t partition, int64_t end);
/* Whether every build requested in [from, to) of the partition is here: the id that is not, is not in that range. */
bool recent_builds_cover(struct recent_builds *recent, int32_t partition, int64_t from, int64_t to);
