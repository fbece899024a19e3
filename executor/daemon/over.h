/*
 * Attempts of this incarnation that are over for the build service: it has released or abandoned them. An assignment
 * that comes once more after that (a producer's retry, a repeat that crossed the result) must not start its agent
 * again, and nothing else remembers it. The last ones; a repeat comes within seconds. The daemon's thread.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "common/base/ids.h"

#define OVER_MAX 1024

struct over {
	char lease_ids[OVER_MAX][UUID_TEXT_SIZE]; /* a ring; "" = free */
	size_t next;
};

void over_add(struct over *over, const char *lease_id);
bool over_has(const struct over *over, const char *lease_id);
