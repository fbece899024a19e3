/*
 * What earlier daemons left running. Every process of an attempt holds the attempt's flock on STATE/locks/LEASE;
 * whoever still holds one is found in /proc/PID/fd and killed. An agent's process that has closed the descriptor is
 * found by KILN_LEASE_ID in its environment. Only when all locks could be taken and no marked process is left may the
 * worker say hello. Main thread only, where nothing else is said.
 */
#pragma once

#include <stdbool.h>

#include "common/base/compiler.h"

/* One round over all locks: kills, and removes the locks that are free. True when none is left. */
bool orphans_clear(const char *state_dir);

/* The same for one attempt of this daemon whose child has ended. True when its lock is free (or was never made); it is
 * left, for only then no disk has to be waited for. */
bool orphans_clear_lease(const char *state_dir, const char *lease_id);
/* Once it is clear, and no other child of the same lease will come. Any thread. */
void orphans_remove_lock(const char *state_dir, const char *lease_id);
