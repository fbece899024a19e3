/* The same throws in every run: xorshift32. */
#pragma once

#include <stdint.h>

static uint32_t dice_state = 2463534242;

/* 0 … sides - 1. */
static inline int dice(int sides)
{
	dice_state ^= dice_state << 13;
	dice_state ^= dice_state >> 17;
	dice_state ^= dice_state << 5;
	return (int)(dice_state % (uint32_t)sides);
}
