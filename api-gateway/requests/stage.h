/*
 * How far a request has come while another thread has it, and so what its deadline may say. Either the deadline gives
 * it up, and it never has an effect; or it is about to have one, and the deadline cannot say that it has none:
 *
 *   WAITING ─▶ BEGUN ─▶ EFFECT       a thread works on it; it commits now, or sends its record
 *      └─────────┴────▶ GIVEN_UP     answered: nothing was done, and nothing will be
 *
 * What was written before EFFECT is seen by whoever finds it there. Any thread.
 */
#pragma once

#include <stdatomic.h>
#include <stdbool.h>

enum stage { STAGE_WAITING, STAGE_BEGUN, STAGE_EFFECT, STAGE_GIVEN_UP };

/* False: it was given up. */
static inline bool stage_begin(_Atomic enum stage *stage)
{
	enum stage found = STAGE_WAITING;
	return atomic_compare_exchange_strong(stage, &found, STAGE_BEGUN) || found != STAGE_GIVEN_UP;
}

/* The same; once it is true it stays so. */
static inline bool stage_take_effect(_Atomic enum stage *stage)
{
	enum stage found = STAGE_BEGUN;
	return atomic_compare_exchange_strong(stage, &found, STAGE_EFFECT) || found == STAGE_EFFECT;
}

/* Returns where it was found; STAGE_EFFECT: it goes on. */
static inline enum stage stage_give_up(_Atomic enum stage *stage)
{
	enum stage found = STAGE_WAITING;
	while (found != STAGE_EFFECT && !atomic_compare_exchange_weak(stage, &found, STAGE_GIVEN_UP))
		continue; /* found is where it is now */
	return found;
}
