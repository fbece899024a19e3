/*
 * What an agent has left, and what a repository has, can be small on disk and huge in memory (compressed objects, bases
 * of deltas). Between _set and _lift this process may take `bytes` more than it had at _set; a library that wants more
 * is told that there is none, and libgit2 may die of that: the attempt's child then, not the machine. For the whole
 * process. What cannot be counted is not bounded.
 */
#pragma once

#include <stdint.h>
#include <sys/resource.h>

struct memory_bound {
	struct rlimit before;
};

struct memory_bound memory_bound_set(int64_t bytes);
void memory_bound_lift(const struct memory_bound *bound);
