/*
 * Work that nothing can interrupt: libgit2 has no deadline in the merge of two trees or in the difference of two files,
 * and who may push decides how long those are; a store of artifacts may hang. It is done in a process forked for it, so
 * that a deadline and a cancel can kill it, and so that the attempt outlives what dies of its memory. What the work
 * writes to disk stays; what it changes in memory is lost, but for `out`.
 *
 * From the one thread of an attempt's child. The process has the attempt's lock, unless its work gives that up, and
 * dies with the attempt.
 */
#pragma once

#include <stdint.h>

#include "common/base/buffer.h"
#include "common/base/compiler.h"
#include "common/base/error.h"
#include "executor/attempt/daemon_link.h"

struct aside_limits {
	int64_t deadline_ms;      /* clock_boot_ms */
	int64_t memory_bytes;     /* memory_bound.h */
	struct daemon_link *link; /* its cancel ends the work; NULL: nothing does but the deadline */
};

/* Runs in the forked process, which must leave the daemon's socket alone. */
typedef int aside_work(void *ctx, struct buffer *out, struct error *err);

/* What the work returns, with what it has appended to `out` (no more than has room there) when that is 0. ERR_TIMEOUT at
 * the deadline, ERR_CANCELLED, ERR_INTERNAL when it died. */
int aside_run(const struct aside_limits *limits, aside_work *work, void *ctx, struct buffer *out,
			  struct error *err) MUST_CHECK;
