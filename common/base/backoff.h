/*
 * Waits between tries that fail one after the other: each is twice as long as the one before, up to a ceiling. A struct
 * of its own for each thing that is tried, made as {.min_ms = …, .max_ms = …}; not thread-safe.
 */
#pragma once

#include "common/base/compiler.h"
#include "common/base/ids.h"

struct backoff {
	int min_ms, max_ms; /* > 0 */
	int now_ms; /* the last wait, without its spread; 0: nothing has failed since the beginning or backoff_clear */
};

/* A try has failed: how long to wait until the next. */
static inline int backoff_next(struct backoff *backoff)
{
	CHECK(backoff->min_ms > 0 && backoff->max_ms > 0);
	int next_ms = backoff->min_ms;
	if (backoff->now_ms > 0)
		next_ms = backoff->now_ms <= backoff->max_ms / 2 ? 2 * backoff->now_ms : backoff->max_ms;
	backoff->now_ms = next_ms < backoff->max_ms ? next_ms : backoff->max_ms;
	return backoff->now_ms;
}

/* The same, spread evenly from a half of it to one and a half (past the ceiling, too): for those who have failed because
 * they met others, whom they would meet again each time. */
static inline int backoff_next_spread(struct backoff *backoff)
{
	int next_ms = backoff_next(backoff);
	return next_ms / 2 + (int)random_below((uint32_t)next_ms);
}

/* A try has succeeded: the next failure is a first one. */
static inline void backoff_clear(struct backoff *backoff)
{
	backoff->now_ms = 0;
}
