/*
 * Rounds over a list whose entries may stay in it: what one round leaves is passed over until the end of the list was
 * reached, so that those behind it have their turn; then the first come again. Zeroed it begins.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

struct rounds {
	size_t passed_over; /* so many of the list are left out of the next round */
	bool full;          /* the round under way: there may be more behind it */
};

static inline void rounds_begin(struct rounds *rounds, size_t len, size_t max)
{
	rounds->full = len == max;
}

/* `left`: of the round's entries, so many are in the list still. */
static inline void rounds_end(struct rounds *rounds, size_t left)
{
	rounds->passed_over = rounds->full ? rounds->passed_over + left : 0;
}
